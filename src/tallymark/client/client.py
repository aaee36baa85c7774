"""`Client`: what applications record events with. It never raises, never blocks, never configures logging.

Comes in: names and attributes from any thread. Goes out: encoded events to a sink, through what all copies of a
client share. Faults are counted as drops, which `stats()`, `on_drop` and the server's ledger show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import msgspec

from tallymark.client.aggregate import check_amount
from tallymark.client.context import AMBIENT, EMPTY, Context
from tallymark.client.core import Core
from tallymark.client.drops import OnDrop
from tallymark.client.encoding import build_line, build_raw_line, build_value_line
from tallymark.client.host import DEFAULT_EVERY, start_sampler
from tallymark.client.settings import build_settings
from tallymark.client.sinks import Sink
from tallymark.client.stats import SendSummary, Stats
from tallymark.client.timer import Timer

_ambient = AMBIENT.get
_encode = msgspec.json.Encoder().encode


class Client:
    """Records events. Give `url` and `key`, or set `TALLYMARK_URL` and `TALLYMARK_WRITE_KEY`.

    `sink` replaces the intake by another sink; `on_drop(reason, events, sample)` is told of dropped events, in the
    sender's thread; `attributes` go with every event. Further settings are in `docs/client.md`, each by its name.
    """

    __slots__ = ("_context", "_context_key", "_core")

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        sink: Sink | None = None,
        on_drop: OnDrop | None = None,
        attributes: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        chosen = build_settings({"url": url, "key": key, **settings})
        core_fields: dict[str, Any] = {
            "service_name": chosen.service_name or None,
            "service_version": chosen.service_version or None,
            "service_commit": chosen.service_commit or None,
            "is_dev": chosen.dev or None,
        }
        self._context = EMPTY.extended(
            dict(attributes or {}) | {k: v for k, v in core_fields.items() if v is not None}
        )
        self._context_key = self._context.key
        self._core = Core(chosen, sink, self._context, on_drop)

    # Events.

    def record(self, event_type: str, event_name: str, /, **attributes: Any) -> None:
        """Record one event. Attributes named like a core field (`user_id`, `page_url`, ...) become that field."""
        try:
            emit = self._core.recorder.emit
            if emit is not None:
                context = self._context
                ambient = _ambient()
                if ambient is not None:
                    context = ambient.under(context)
                emit(build_line(event_type, event_name, context, attributes))
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def behavior(self, event_name: str, /, **attributes: Any) -> None:
        """Record something that somebody did: an event of the type `behavioral`."""
        self.record("behavioral", event_name, **attributes)

    def metric(self, event_name: str, value: float, /, **attributes: Any) -> None:
        """Record one measurement: an event of the type `metric` with `value`."""
        try:
            emit = self._core.recorder.emit
            if emit is not None:
                emit(build_value_line("metric", event_name, self._present(), value, attributes))
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def log(self, event_name: str, /, *, level: str = "info", **attributes: Any) -> None:
        """Record something worth a note: an event of the type `log` with the attribute `level`."""
        self.record("log", event_name, level=level, **attributes)

    def record_raw(self, event: Mapping[str, Any], /) -> None:
        """Pass on an event that somebody else made, such as a browser, without adding context.

        Its `event_id` is kept; a missing id or time is made. The server judges the rest.
        """
        try:
            emit = self._core.recorder.emit
            if emit is not None:
                line = build_raw_line(event)
                if line is None:
                    self._core.lose("unserialisable")
                else:
                    emit(line)
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def send_all(self, events: Iterable[Mapping[str, Any]], timeout: float | None = None) -> SendSummary:
        """Send all events, as `record_raw` takes them, and wait until the server has judged each.

        For imports: it blocks, at most `timeout` seconds, instead of dropping. What the iterable raises is raised.
        """
        return self._core.sink.send_all(self._build_lines(events), timeout)

    def _build_lines(self, events: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        for event in events:
            try:
                line = build_raw_line(event)
            except Exception:  # noqa: BLE001  one hostile event must not end an import
                line = None
            if line is None:
                self._core.lose("unserialisable")
            else:
                yield line

    # Counts and measurements, summed up before they are sent.

    def increment(self, name: str, amount: float = 1, /, **attributes: Any) -> None:
        """Add to a counter; the sum of each interval and attribute set is sent as one `metric` event."""
        try:
            core = self._core
            if core.recorder.emit is None:
                return
            aggregator = core.aggregator
            if type(amount) is not int:
                amount = check_amount(amount)
            ambient = _ambient()
            if ambient is None:
                key = (name, _encode(attributes), self._context_key)
            else:
                key = (name, _encode(attributes), ambient.under(self._context).key)
            with aggregator.lock:
                series = aggregator.fast.get(key)
                if series is not None:
                    series.total += amount
                    return
        except Exception:  # noqa: BLE001  attributes that the encoder refuses, or no number: the careful path judges
            key = None
        self._add(name, amount, attributes, key)

    def _add(self, name: Any, amount: Any, attributes: Mapping[str, Any], key: Any) -> None:
        try:
            if not self._core.aggregator.add(name, amount, self._present(), attributes, key):
                self._core.lose("closed")
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def decrement(self, name: str, amount: float = 1, /, **attributes: Any) -> None:
        """Take away from a counter."""
        try:
            # Before the sign changes: -5 is 251 to an unsigned byte of numpy.
            self.increment(name, -check_amount(amount), **attributes)
        except Exception:  # noqa: BLE001  something that is no number
            self._core.fault()

    def gauge(self, name: str, value: float, /, **attributes: Any) -> None:
        """Set a level; the last value of each interval and attribute set is sent as one `metric` event."""
        try:
            if self._core.recorder.emit is not None and not self._core.aggregator.set(
                name, value, self._present(), attributes
            ):
                self._core.lose("closed")
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def timing(self, name: str, seconds: float, /, **attributes: Any) -> None:
        """Count a duration in seconds; each interval's distribution is sent as one event, quantiles within 1 %."""
        self._observe("timing", name, seconds, "s", attributes)

    def histogram(self, name: str, value: float, /, *, unit: str = "", **attributes: Any) -> None:
        """Count a value of any unit; each interval's distribution is sent as one event, quantiles within 1 %."""
        self._observe("histogram", name, value, unit, attributes)

    def _observe(self, kind: str, name: Any, value: Any, unit: str, attributes: Mapping[str, Any]) -> None:
        try:
            core = self._core
            if core.recorder.emit is not None and not core.aggregator.observe(
                kind, name, value, self._present(), attributes, unit
            ):
                core.lose("closed")
        except Exception:  # noqa: BLE001  recording must never fail its host
            self._core.fault()

    def timer(self, name: str, /, **attributes: Any) -> Timer:
        """Measure as a timing: a `with` or `async with` block, or as a decorator every call of a function.

        Generators, `async` ones too, are measured from the first item to the end of the iteration.
        """
        return Timer(lambda seconds: self.timing(name, seconds, **attributes))

    def host_metrics(self, every: float = DEFAULT_EVERY) -> None:
        """Record the process's start-up time until this call and, each `every` seconds, the load of host and process.

        In the background, once for all copies; a further call changes nothing. The events are in `docs/client.md`.
        """
        try:
            sampler = start_sampler(self._core, self._context, every)
            seconds = None if sampler is None else sampler.measure_start()
            if sampler is not None and seconds is not None:
                self.timing("process_start", seconds, host=sampler.host)
        except Exception:  # noqa: BLE001  a fault of ours must not become one of the host
            self._core.fail("host_metrics")

    # Copies.

    def _present(self) -> Context:
        ambient = _ambient()
        return self._context if ambient is None else ambient.under(self._context)

    def with_(self, **attributes: Any) -> Client:
        """Return a copy whose events carry these attributes too; it shares the buffer with this one."""
        copy = object.__new__(type(self))
        copy._core = self._core
        try:
            copy._context = self._context.extended(attributes)
        except Exception:  # noqa: BLE001  a copy with less context is better than a broken host
            self._core.fail("with_")
            copy._context = self._context
        copy._context_key = copy._context.key
        return copy

    def with_service(self, name: str, version: str = "", commit: str = "") -> Client:
        """Return a copy for a service of this name, version and commit."""
        return self.with_(service_name=name, service_version=version or None, service_commit=commit or None)

    def with_user(self, user_id: str) -> Client:
        """Return a copy for this user."""
        return self.with_(user_id=user_id)

    def with_install(self, install_id: str) -> Client:
        """Return a copy for this installation."""
        return self.with_(install_id=install_id)

    def with_dev(self, is_dev: bool = True) -> Client:
        """Return a copy whose events are marked as coming from development."""
        return self.with_(is_dev=is_dev)

    # The buffer.

    def stats(self) -> Stats:
        """Return what was recorded, sent, dropped and waits."""
        return self._core.sink.stats()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was recorded before is acknowledged; False when it was not within `timeout` seconds."""
        try:
            return self._core.flush(timeout)
        except Exception:  # noqa: BLE001  a fault of ours must not become one of the host
            return self._core.fail("flush")

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what waits within `timeout` seconds (by default `close_timeout`), for all copies.

        What could not be delivered is dropped as `closed`, as is whatever is recorded later. Runs at exit by itself.
        False when something was dropped.
        """
        try:
            return self._core.close(self._core.settings.close_timeout if timeout is None else timeout)
        except Exception:  # noqa: BLE001  a fault of ours must not become one of the host
            return self._core.fail("close")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
