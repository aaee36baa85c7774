"""The vocabulary that both ends share: what an event is, on the wire and in the program.

The client builds events of this shape, the receiver decodes into it, the store's table has its columns.
Nothing here does I/O and nothing here knows the server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, get_type_hints

import msgspec

# Headers beside the events: when the batch was sent (ISO 8601), and what the client had to drop (`ClientReport`).
SENT_AT_HEADER = "Tallymark-Sent-At"
REPORT_HEADER = "Tallymark-Client-Report"

MAX_ID_BYTES = 128
MAX_NAME_BYTES = 256
MAX_TEXT_BYTES = 8192
MAX_EVENT_BYTES = 256 * 1024
MAX_ATTRIBUTES = 1000
MAX_DEPTH = 32
# Values that one sketch may stand for, so that the sum over millions of sketches is a 64-bit integer still.
MAX_SKETCH_COUNT: Final = 10**12
# The client cuts events down to this size; the server takes larger ones, up to MAX_EVENT_BYTES.
CLIENT_EVENT_BYTES = 32 * 1024

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_BYTES)]
_Short = Annotated[str, msgspec.Meta(max_length=MAX_NAME_BYTES)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_BYTES)]

# The source of the events that tallymark records about itself.
OWN_SOURCE: Final = "own"


class EventCore(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What nearly every event says: the first members of an `Event`, decoded alone where there are no others.

    `event_time` stands first: the intake relies on it when it turns an encoded event into a row.
    """

    event_time: Annotated[datetime, msgspec.Meta(tz=True)]
    event_id: _Id
    event_type: _Name
    event_name: _Name
    # One number that the event measures, such as a duration or an amount.
    value: float | None = None
    # Who and where: ids by which events belong together.
    session_id: _Short = ""
    user_id: _Short = ""
    install_id: _Short = ""
    device_id: _Short = ""
    # What sent it.
    service_name: _Short = ""
    service_version: _Short = ""
    service_commit: _Short = ""
    is_dev: bool = False


class EventFields(EventCore, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """All members of an `Event` but its attributes."""

    # The agent that the person used.
    agent_client_platform: _Short = ""
    agent_client_platform_family: _Short = ""
    agent_os: _Short = ""
    agent_browser: _Short = ""
    agent_app_version: _Short = ""
    agent_language: _Short = ""
    agent_user_agent: _Text = ""
    # The page or screen.
    page_id: _Short = ""
    page_title: _Text = ""
    page_url: _Text = ""
    page_referrer: _Text = ""
    page_content_language: _Short = ""
    # The person, as far as the application says.
    performer_id: _Short = ""
    performer_name: _Short = ""
    performer_is_logged_in: bool | None = None
    performer_is_bot: bool | None = None
    performer_language: _Short = ""
    performer_groups: tuple[_Short, ...] = ()
    # The client had to cut the event; `attributes` then says why.
    truncated: bool = False
    # Timings and histograms: representative values and how often each was seen (DDSketch, see client/sketch.py).
    sketch_values: tuple[float, ...] = ()
    sketch_counts: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()


class Event(EventFields, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One thing that happened.

    Texts are UTF-8; an empty text means "not given". Limits are in characters here and in bytes at the intake.
    """

    attributes: dict[str, Any] = {}


REQUIRED_FIELDS = ("event_id", "event_time", "event_type", "event_name")
CORE_FIELDS = tuple(field for field in Event.__struct_fields__ if field != "attributes")
TEXT_FIELDS = tuple(field for field, kind in get_type_hints(Event).items() if kind is str)
CONTEXT_FIELDS = tuple(
    field
    for field in CORE_FIELDS
    if field not in (*REQUIRED_FIELDS, "value", "truncated", "sketch_values", "sketch_counts")
)


class ClientReport(msgspec.Struct, omit_defaults=True):
    """What one client instance let go so far, by reason: running totals, of which the server keeps the maximum."""

    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    dropped: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}
