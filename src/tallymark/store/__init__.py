"""The store: a ClickHouse engine behind ClickHouse's HTTP interface, the client to reach it, and the event table."""
