"""Alerts: metrics that are watched, and telling people once when something is wrong.

In the order of their use: `windows` (which times are judged), `questions` (what is asked for them), `conditions` (one figure's
verdict), `standing` (from verdicts to states), `rounds` (all of it, every few seconds), `book` (what is kept), `messages`,
`routing` and `sending` (who is told what, and how).
"""
