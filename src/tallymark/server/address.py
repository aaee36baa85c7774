"""The address of a server from its host and port."""

from __future__ import annotations


def format_place(host: str, port: int) -> str:
    """Return host and port as an address names them: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def format_address(host: str, port: int) -> str:
    """Return where a server is reached: `http://127.0.0.1:8600`, `http://[::1]:8600`."""
    return f"http://{format_place(host, port)}"
