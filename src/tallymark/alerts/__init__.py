"""Alerts: metrics that are watched, and telling people once when something is wrong.

Judging, in the order of their use: `windows` (which times), `questions` (what is asked for them), `values` (of a breakdown),
`conditions` (one figure's verdict), `verdicts` (of a window, for all values), `presence` (which values come and go), `standing`
(from verdicts to states), `rounds` (all alerts, every few seconds), `own` (those about alerts themselves), `watcher` (rounds, and
what is written of them).
Kept: `changes` (the types), `book` (states and changes in the database), `silences`.
Telling: `routing` (who), `outbox` (a notice in the database), `notices` (those on their way), `claims` (what of it goes out now), `batches` (what is one message), `words`, `messages` and
`links` (what it says), `teller` (sends), `outlets` (how it leaves this process) and
`outlet_process` with `outlet_addresses`, `outlet_texts` and `outlet_errors` (the process that sends, which alone loads the services' code),
`outlet_services` (what is known of services), `inward` (where nothing may go).
Trying: `preview` (the past, judged by the same rules).
"""
