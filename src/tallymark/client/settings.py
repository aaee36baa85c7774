"""Settings of the client: arguments first, then `TALLYMARK_*` variables, then defaults.

Comes in: what the caller gave and an environment. Goes out: a frozen `Settings`. A malformed value never
raises: the next source is used and one warning says how to fix it. `Client` calls it once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from tallymark.client.log import warn_once
from tallymark.client.plain import build_repr

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; sizes in bytes, times in seconds. `docs/client.md` explains each."""

    url: str = "http://127.0.0.1:8600"
    key: str = ""
    disabled: bool = False
    sink: str = "intake"
    service_name: str = ""
    service_version: str = ""
    service_commit: str = ""
    dev: bool = False
    batch_events: int = 500
    batch_bytes: int = 512 * 1024
    flush_interval: float = 1.0
    max_buffer_events: int = 100_000
    max_buffer_bytes: int = 16 * 1024 * 1024
    connect_timeout: float = 5.0
    request_timeout: float = 30.0
    retry_base: float = 0.5
    retry_cap: float = 30.0
    retry_after_cap: float = 300.0
    retry_max_age: float = 3600.0
    retry_max_attempts: int = 1000
    close_timeout: float = 2.0
    metrics_interval: float = 10.0
    max_series: int = 1000
    spool_dir: str = ""
    spool_bytes: int = 64 * 1024 * 1024


# Variables whose name is not TALLYMARK_ and the setting's name; the first that is set counts.
_VARIABLES = {"key": ("TALLYMARK_WRITE_KEY", "TALLYMARK_KEY")}
# The smallest value that makes sense; anything below is malformed.
_LEAST: dict[str, float] = {
    "batch_events": 1,
    "batch_bytes": 1024,
    "flush_interval": 0.001,
    "max_buffer_events": 1,
    "max_buffer_bytes": 1024,
    "connect_timeout": 0.001,
    "request_timeout": 0.001,
    "metrics_interval": 0.001,
    "max_series": 1,
}


def variables(name: str) -> tuple[str, ...]:
    """Return the environment variables that can give the setting `name`, the first that is set counts."""
    return _VARIABLES.get(name, (f"TALLYMARK_{name.upper()}",))


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value.strip()


def _parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("not a switch")


def _parse_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("not a number")
    return int(value)


def _parse_float(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _parse_url(value: Any) -> str:
    parts = urlsplit(_parse_text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname or not (parts.port is None or parts.port):
        raise ValueError("not an address")
    return _parse_text(value).rstrip("/")


def _parse_key(value: Any) -> str:
    key = _parse_text(value)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("not a key")
    return key


def _parse_sink(value: Any) -> str:
    word = _parse_text(value)
    if word in ("intake", "logger", "noop") or (word.startswith("file:") and len(word) > 5):
        return word
    raise ValueError("not a sink")


_PARSERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "str": (_parse_text, "text"),
    "bool": (_parse_bool, "one of 1, true, yes, on, 0, false, no, off"),
    "int": (_parse_int, "a whole number"),
    "float": (_parse_float, "a number of seconds"),
    "url": (_parse_url, "an address like http://127.0.0.1:8600"),
    "key": (_parse_key, "a write key as 'tallymark keys' shows it"),
    "sink": (_parse_sink, "intake, logger, noop or file:PATH"),
}
_SECRET = frozenset({"key"})


def _parse(name: str, kind: str, value: Any, source: str) -> Any:
    """Return the typed value, or None after a warning that says what is allowed."""
    parser, allowed = _PARSERS.get(name) or _PARSERS[kind]
    least = _LEAST.get(name, 0)
    try:
        parsed = parser(value)
        fits = kind not in ("int", "float") or parsed >= least
    except Exception:  # noqa: BLE001  a value may be any object, with any fault in its conversion
        fits = False
    if not fits:
        bound = f", at least {least:g}" if kind in ("int", "float") else ""
        shown = "" if name in _SECRET else f" {build_repr(value)[:80]}"
        warn_once(
            f"setting:{source}",
            f"tallymark: {source} has a malformed value{shown} and is ignored. "
            f"Fix: set {source} to {allowed}{bound}.",
        )
        return None
    return parsed


def build_settings(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Make the settings: `given` (None means not given) before `environ` before the defaults. Never raises."""
    environ = os.environ if environ is None else environ
    chosen: dict[str, Any] = {}
    for field in fields(Settings):
        kind = str(field.type)
        value = given.get(field.name)
        parsed = None if value is None else _parse(field.name, kind, value, f"Client({field.name}=...)")
        for variable in variables(field.name) if parsed is None else ():
            text = environ.get(variable)
            if text:
                parsed = _parse(field.name, kind, text, variable)
                break
        if parsed is not None:
            chosen[field.name] = parsed
    known = [field.name for field in fields(Settings)]
    for name in given.keys() - set(known):
        warn_once(
            f"setting:{name}",
            f"tallymark: Client has no setting {name!r}. Fix: use one of {', '.join(known)}.",
        )
    return Settings(**chosen)
