"""Addresses on the inside, and the guard that lets no connection go there unless a setting allows it.

Comes in: the networks that may be told all the same. The process that sends messages installs the guard before anything else.
It judges the number that a connection is really made to, so names, odd spellings and redirects change nothing; proxies, which
would hide that number, are taken out of the environment.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

# How a network with IPv6 alone reaches the others: the last 32 bits are the IPv4 address.
_NAT64: Final = IPv6Network("64:ff9b::/96")
# The public addresses of IPv6 are all given out of this network; what is not in it has a use of its own, or none yet.
_GIVEN_OUT: Final = IPv6Network("2000::/3")
# Beside what the standard library knows in every version: shared between a provider's customers, protocol assignments, relays,
# the platform service of a large host (a public number that is answered on the inside), tunnels, documentation.
_ALSO_INSIDE: Final[tuple[IpNetwork, ...]] = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "2001::/23",
        "3fff::/20",
    )
)
# Documentation's: no machine has them.
_NOBODYS: Final = ("192.0.2.1", "2001:db8::1")
_WITH_PORT: Final = (re.compile(r"\[([^\]]+)\](?::(\d{1,5}))?"), re.compile(r"([\d./]+):(\d{1,5})"))


class InwardRefused(PermissionError):
    """A connection to the inside, or to this machine, that no setting allows; its text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A network on the inside that may be told; `port` is None where every port may."""

    network: IpNetwork
    port: int | None

    def lets(self, address: IpAddress, port: int) -> bool:
        """Return whether a connection to that address and port may be made."""
        return self.port in {None, port} and address in self.network


def parse_opening(text: str) -> Opening:
    """Read an address or a network with or without a port; raises ValueError, saying what is allowed."""
    found = next((match for form in _WITH_PORT if (match := form.fullmatch(text))), None)
    network, port = found.groups() if found else (text, None)
    try:
        opening = Opening(ip_network(network), None if port is None else int(port))
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no address or network ({error}). Allowed: 10.0.0.5, 10.0.0.0/8, fd00::/8, each for every port,"
            " or for one: 10.0.0.5:25, [fd00::5]:25."
        ) from error
    if opening.port is not None and not 1 <= opening.port <= 65535:
        raise ValueError(f"{text!r} has no port that exists. Allowed: 1 to 65535.")
    return opening


def find_real(address: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address leads to (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_inside(address: IpAddress) -> bool:
    """Return whether an address is not one of the public ones: our own machine, our own networks, or nobody's."""
    real = find_real(address)
    if isinstance(real, IPv6Address) and real not in _GIVEN_OUT:
        return True
    if real.is_multicast or real.is_reserved or not real.is_global:
        return True
    return any(real in network for network in _ALSO_INSIDE)


def is_this_machine(address: IpAddress) -> bool:
    """Return whether an address, public as it may be, is one of this machine's: others have what only listens for itself there."""
    family, nobody = (
        (socket.AF_INET, _NOBODYS[0]) if isinstance(address, IPv4Address) else (socket.AF_INET6, _NOBODYS[1])
    )
    if not _may_bind(family, nobody):
        return _may_bind(family, str(address))
    # Where any address may be bound to, the way to it tells: to its own addresses a machine goes from the same one.
    with socket.socket(family, socket.SOCK_DGRAM) as plain:
        try:
            # The way that the guard does not stand before; nothing is sent.
            socket.SocketType.connect(plain, (str(address), 9))
        except OSError:
            return False
        return ip_address(plain.getsockname()[0]) == address


def _may_bind(family: int, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as plain:
            plain.bind((address, 0))
    except OSError:
        return False
    return True


class ProbeEnded(ConnectionAbortedError):
    """The connection would be made now; a probe goes no further."""


@dataclass(slots=True)
class Probe:
    """What would have been connected to: how many addresses that may be told, and which names that nobody knows now."""

    reached: int = 0
    unknown: list[str] = field(default_factory=list)


class Guard:
    """Judges every connection of this process. `refusals` are the sentences of those that it refused, the last one last."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._openings = [parse_opening(text) for text in allowed]
        self._probe: Probe | None = None
        self.refusals: list[str] = []

    @contextmanager
    def probing(self) -> Iterator[Probe]:
        """Look names up and judge addresses, and connect to none of them: no byte leaves this process."""
        look_up, self._probe = socket.getaddrinfo, Probe()
        probe = self._probe

        def note_unknown(host: Any, *given: Any, **named: Any) -> Any:
            try:
                return look_up(host, *given, **named)
            except (socket.gaierror, UnicodeError):
                probe.unknown.append(
                    host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
                )
                raise

        socket.getaddrinfo = note_unknown
        try:
            yield probe
        finally:
            socket.getaddrinfo, self._probe = look_up, None

    def check(self, address: str, port: int) -> None:
        """Raise InwardRefused for an address, in figures, that is on the inside or our own, and not allowed."""
        given = ip_address(address)
        real = find_real(given)
        where = (
            "on the inside"
            if is_inside(given)
            else "this machine"
            if is_this_machine(given) or is_this_machine(real)
            else ""
        )
        if not where:
            return
        if any(opening.lets(one, port) for opening in self._openings for one in (given, real)):
            return
        shown = str(given) if real == given else f"{given}, which is {real}"
        self._refuse(f"{where} ({shown})")

    def settle(self, plain: socket.socket, address: Any) -> Any:
        """Return the address to connect to, in figures, once it is checked; raises InwardRefused, or OSError for an unknown name."""
        if plain.family not in {socket.AF_INET, socket.AF_INET6}:
            self._refuse("no address on a network")
        host, port, *rest = address
        name = host.decode("ascii") if isinstance(host, bytes | bytearray) else host
        try:
            ip_address(name)
        except ValueError:
            # Looked up once, here: asked again, the same name may lead elsewhere.
            name = socket.getaddrinfo(name or None, port, plain.family, plain.type)[0][4][0]
        self.check(name, port)
        if self._probe is not None:
            self._probe.reached += 1
            raise ProbeEnded("a probe connects to nothing")
        return (name, port, *rest)

    def install(self, kind: type[socket.socket] = socket.socket) -> None:
        """Put the guard before every way in which a socket of this process can reach an address."""
        connect, connect_ex, sendmsg = kind.connect, kind.connect_ex, kind.sendmsg
        sendto: Callable[..., int] = kind.sendto

        def guarded_connect(plain: socket.socket, address: Any) -> None:
            connect(plain, self.settle(plain, address))

        def guarded_connect_ex(plain: socket.socket, address: Any) -> int:
            return connect_ex(plain, self.settle(plain, address))

        def guarded_sendto(plain: socket.socket, data: Any, *rest: Any) -> int:
            *flags, address = rest
            return sendto(plain, data, *flags, self.settle(plain, address))

        def guarded_sendmsg(
            plain: socket.socket, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None
        ) -> int:
            where = () if address is None else (self.settle(plain, address),)
            return sendmsg(plain, buffers, ancdata, flags, *where)

        for name, guarded in {
            "connect": guarded_connect,
            "connect_ex": guarded_connect_ex,
            "sendto": guarded_sendto,
            "sendmsg": guarded_sendmsg,
        }.items():
            setattr(kind, name, guarded)

    def _refuse(self, what: str) -> None:
        sentence = (
            f"The receiver's address is {what}. Messages go to public addresses, and to those on the inside that are"
            " allowed by the setting alert_inward."
        )
        self.refusals.append(sentence)
        raise InwardRefused(sentence)


def shut_side_doors() -> None:
    """Take from this process's environment what would lead its connections elsewhere, or add passwords to them."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["NETRC"] = os.devnull
