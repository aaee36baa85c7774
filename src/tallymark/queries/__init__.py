"""Questions: from one typed model to ClickHouse SQL and back to a table that can be explained.

The web room, the CLI and the pages come in through `parse.parse_question`, `run.run_question` and
`result.render_answer`; `names` and `events` serve the pages that choose and search.
"""
