"""The figures of metrics: asked, with how many events stand behind them and how sure they are.

Comes in: a metric of the plan, a time, filters and a breakdown. Goes out: a table of figures with n and a 95 %
interval. Pages, the API and the scrape endpoint call it.
"""
