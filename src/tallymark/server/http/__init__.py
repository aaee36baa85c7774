"""The HTTP/1.1 server of the `web` process: a small protocol on `httptools`, with a bound on everything that a client decides.

`server.py` listens and stops, `connection.py` reads requests, `request.py` is one of them with its answer, `asgi.py`
hands it to the framework. What the intake takes goes to it without ASGI between: docs/decisions/0007-http-server.md.
"""
