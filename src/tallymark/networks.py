"""Network addresses: what counts as one client, and which client stands behind a reverse proxy.

`server.http` bounds connections by it, the pages bound sign-ins and sessions; the configuration reads networks here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IpNetwork = IPv4Network | IPv6Network

# An IPv6 network of this size is one customer's.
_SITE_BITS: Final = 64
_PORT: Final = re.compile(r":[0-9]{1,5}$")


def parse_networks(text: str) -> tuple[IpNetwork, ...]:
    """Read addresses and networks, separated by commas. Raises ValueError, which names the wrong one."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def find_neighbourhood(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or an IPv6 network of 64 bits; '' for loopback."""
    address = _parse_address(host)
    if address is None or address.is_loopback:
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> _SITE_BITS << _SITE_BITS))
    return str(address)


def find_client(peer: str, forwarded_for: str, proxies: tuple[IpNetwork, ...]) -> str:
    """Return the address of the client: the peer's, or, where that is a proxy of ours, the one that it forwards for.

    `forwarded_for` is the text of X-Forwarded-For. Each proxy adds the address that it was called from at the end, so the
    last one that is no proxy of ours is the client's; what stands before it anybody may have written.
    """
    client = peer
    for part in filter(None, reversed([part.strip(' \t"') for part in forwarded_for.split(",")])):
        address = _parse_address(client)
        if address is None or not any(address in network for network in proxies):
            break
        host = _find_host(part)
        if not host:
            break
        client = host
    return client


def _find_host(text: str) -> str:
    """Return the address in `203.0.113.7:51234` or `[2001:db8::7]:443`, also without a port; '' where there is none."""
    # An IPv6 address without brackets may end like a port: as a whole it is tried first.
    hosts = (host.strip("[]") for host in (text, _PORT.sub("", text)))
    return next((host for host in hosts if _parse_address(host) is not None), "")


def _parse_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
