"""Alerts: metrics that are watched, and telling people once when something is wrong.

Judging, in the order of their use: `windows` (which times), `questions` (what is asked for them), `values` (of a breakdown),
`conditions` (one figure's verdict), `verdicts` (of a window, for all values), `standing` (from verdicts to states), `rounds` (all
alerts, every few seconds), `own` (those about alerts themselves), `watcher` (rounds, and what is written of them).
Kept: `changes` (the types), `book` (states and changes in the database), `silences`.
Telling: `routing` (who), `notices` (the outbox), `claims` (what of it goes out now), `batches` (what is one message), `words`, `messages` and
`links` (what it says), `teller` (sends), `outlets`, `outlet_process` and `inward` (how it leaves this machine, and where it may not go).
Trying: `preview` (the past, judged by the same rules).
"""
