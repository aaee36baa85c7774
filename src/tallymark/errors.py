"""Every code that tallymark can answer, and every reason for which an event can be missing.

The lists are closed: an outcome that is not here does not exist. The ledger's lines, the API's answers,
the pages and `docs/codes.md` are all made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A stable code with its HTTP status (0 where it never is an answer by itself), meaning and remedy."""

    code: str
    status: int
    meaning: str
    remedy: str


def _by_code(*codes: Code) -> dict[str, Code]:
    named = {code.code: code for code in codes}
    if len(named) != len(codes):
        msg = "a code stands twice in the list"
        raise ValueError(msg)
    return named


# Why one event was not accepted. `quarantined` when the event was kept whole for replay, else `refused`.
EVENT_CODES = _by_code(
    Code(
        "malformed_json",
        400,
        "The text is not JSON.",
        "Send valid JSON; `at` names the byte where reading stopped.",
    ),
    Code(
        "not_an_object",
        400,
        "An event must be a JSON object.",
        "Send an object, an array of objects, or one object per line.",
    ),
    Code("invalid_utf8", 400, "The bytes are not UTF-8.", "Encode the body as UTF-8."),
    Code(
        "invalid_unicode",
        400,
        "A string holds half of a surrogate pair.",
        "Remove or complete the escape sequence.",
    ),
    Code("nul_character", 400, "A string holds the character NUL.", "Remove the character U+0000."),
    Code(
        "number_not_finite",
        400,
        "NaN and Infinity are not numbers in JSON.",
        "Leave the attribute out, or send null.",
    ),
    Code("number_out_of_range", 400, "The number does not fit a 64-bit float.", "Send it as text."),
    Code("integer_out_of_range", 400, "The integer does not fit 64 bits.", "Send it as text."),
    Code("too_deep", 400, "The value is nested too deeply.", "Flatten the attributes."),
    Code(
        "too_many_attributes",
        400,
        "The event has too many attributes.",
        "Send fewer attributes, or put lists into one.",
    ),
    Code(
        "attribute_name_invalid",
        400,
        "An attribute's name is empty or too long.",
        "Use names of 1 to 256 bytes.",
    ),
    Code(
        "attribute_given_twice",
        400,
        "An attribute stands both in `attributes` and beside them, with different values.",
        "Send it once; members of the event that are no fields become attributes.",
    ),
    Code(
        "personal_data_in_name",
        400,
        "The event's name or type, or an attribute's name, holds what a privacy rule looks for.",
        "Put it into an attribute's value, or switch the rule off for the project.",
    ),
    Code(
        "event_too_large",
        400,
        "The event is larger than one event may be.",
        "Send less; our client truncates by itself.",
    ),
    Code(
        "missing_field",
        400,
        "A required field is missing.",
        "Send event_id, event_time, event_type and event_name.",
    ),
    Code(
        "wrong_type",
        400,
        "A field has the wrong type.",
        "GET /v1/openapi/openapi.json lists the fields and their types.",
    ),
    Code(
        "field_invalid",
        400,
        "A field is empty or too long.",
        "GET /v1/openapi/openapi.json lists the limits.",
    ),
    Code(
        "time_invalid",
        400,
        "event_time is not a time.",
        "Send ISO 8601 with a time zone: 2026-01-31T12:00:00Z.",
    ),
    Code(
        "time_out_of_range",
        400,
        "event_time is before 1970 or more than a day ahead.",
        "Set the sender's clock, or send sent_at.",
    ),
    Code(
        "store_refused", 0, "The store could not take the row.", "Read the reason, replay it with `changes`."
    ),
)

# Why a rule ended an event that was valid. Sampling and policies add theirs here.
DROP_REASONS = _by_code(
    Code("sampled_out", 0, "The stream's sampling left the event out.", "Raise the stream's rate."),
    Code(
        "policy", 0, "A privacy policy forbids keeping the event.", "Change the policy, or stop sending it."
    ),
)

# Why stored events are no longer there.
REMOVAL_REASONS = _by_code(
    Code("retention", 0, "The retention time has passed.", "Raise the retention."),
    Code("erasure", 0, "Somebody's data was erased on request.", "Nothing to do."),
)

# Why a whole request was turned away. Their events are outside the ledger's equation.
REQUEST_CODES = _by_code(
    Code(
        "unauthorized", 401, "There is no such key.", "Send the project's key as 'Authorization: Bearer KEY'."
    ),
    Code("forbidden", 403, "The key may not do this.", "Use a key with the scope that the message names."),
    Code("not_found", 404, "There is no such thing here.", "Check the address."),
    Code(
        "method_not_allowed",
        405,
        "The address does not take this method.",
        "GET /v1/openapi/openapi.json lists the methods.",
    ),
    Code("request_timeout", 408, "The body came too slowly.", "Send the body within the time limit."),
    Code("conflict", 409, "It was changed or exists already.", "Read the present state and try again."),
    Code("body_too_large", 413, "The body is larger than allowed.", "Send smaller batches."),
    Code("empty_body", 400, "The body is empty.", "Send at least one event."),
    Code(
        "invalid_encoding",
        400,
        "The compressed body is broken, of an unknown kind, or in too many pieces.",
        "Send gzip, zlib, zstd or plain text.",
    ),
    Code("invalid_request", 400, "The request is not understood.", "The message says which part."),
    Code(
        "malformed_request",
        400,
        "The bytes are not one clear request of HTTP/1.1.",
        "Send plain HTTP/1.1. The message says what was found.",
    ),
    Code("unknown_field", 400, "A field of the question does not exist.", "The message lists the fields."),
    Code(
        "invalid_definition",
        400,
        "A metric or dashboard is not well formed.",
        "The message says what is allowed, and where the mistake stands.",
    ),
    Code("in_use", 409, "Something else uses the object.", "Change what uses it first."),
    Code(
        "owned_by_file",
        409,
        "The object stands in a file and is changed there.",
        "Change the file and run 'tallymark apply'.",
    ),
    Code("invalid_question", 400, "The question is not well formed.", "The message says what is allowed."),
    Code(
        "query_too_expensive",
        422,
        "The question ran into a limit of time, memory or rows.",
        "Ask for a shorter time or fewer values.",
    ),
    Code(
        "headers_too_large",
        431,
        "The request's first line and headers are larger than allowed, or too many.",
        "Send fewer or shorter headers, and what is long in the body.",
    ),
    Code("rate_limited", 429, "The project sends more than its limit.", "Wait for Retry-After seconds."),
    Code(
        "too_many_at_once",
        429,
        "So much of this project, or of this sender, waits already that no more is taken.",
        "Wait for Retry-After seconds, and ask for less at once.",
    ),
    Code(
        "internal_error", 500, "A fault of ours.", "Look into the server's log; the answer names the request."
    ),
    Code(
        "method_not_implemented",
        501,
        "No address of this server takes the method.",
        "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS. The port speaks plain HTTP: for HTTPS put a reverse proxy in front.",
    ),
    Code(
        "http_version_not_supported",
        505,
        "The server does not speak this version of HTTP.",
        "Use HTTP/1.1 or HTTP/1.0.",
    ),
    Code(
        "overloaded",
        503,
        "More is asked at once than can be done, or more requests wait for the disk than may.",
        "Wait for Retry-After seconds.",
    ),
    Code(
        "too_many_connections",
        503,
        "There are more connections than the server has room for.",
        "Close connections that are not used; try again after Retry-After seconds.",
    ),
    Code(
        "no_answer",
        503,
        "The server did not come to an answer in time.",
        "GET /readyz says what does not answer: the disk or the store. Try again.",
    ),
    Code("disk_full", 503, "The disk is nearly full.", "Free room; the intake goes on by itself."),
    Code("journal_unavailable", 503, "The journal cannot be written.", "Look into the server's log."),
    Code("store_unavailable", 503, "The store cannot be reached.", "It is restarted by itself; try again."),
    Code("shutting_down", 503, "The server is stopping.", "Try again in a moment."),
)

# Why the client let an event go. It reports running totals; the ledger shows them outside the equation.
CLIENT_DROP_REASONS = _by_code(
    Code(
        "queue_full",
        0,
        "The buffer was full and the oldest event made room.",
        "Raise max_buffer_bytes or send fewer events.",
    ),
    Code(
        "retries_exhausted",
        0,
        "The server could not be reached for too long.",
        "Look at the server; use a spool.",
    ),
    Code(
        "refused", 0, "The server refused the event or the request.", "Look at the quarantine; check the key."
    ),
    Code("unserialisable", 0, "The event could not be turned into JSON.", "Send plain values."),
    Code(
        "closed",
        0,
        "The event came after close, or close ran out of time.",
        "Close later, or give it more time.",
    ),
    Code("filtered", 0, "A filter of the application's own said no.", "Nothing to do."),
    Code("spool_full", 0, "The spool on disk was full.", "Raise the spool's limit."),
    Code("internal_error", 0, "A fault of the client.", "Report it, with the log line."),
)


class TallymarkError(Exception):
    """Something that the caller can act on: a stable code and one sentence that says how."""

    def __init__(self, code: str, message: str, *, at: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" (at {at})" if at else ""))
        self.code = code
        self.message = message
        self.at = at


class RequestRefused(TallymarkError):
    """A request that is turned away whole; `retry_after` in seconds where trying again makes sense."""

    def __init__(self, code: str, message: str = "", *, at: str = "", retry_after: int | None = None) -> None:
        known = REQUEST_CODES[code]
        super().__init__(code, message or f"{known.meaning} {known.remedy}", at=at)
        self.status = known.status
        self.retry_after = retry_after


class ReaderStopped(Exception):
    """An answer ends early because its reader took nothing for too long; nobody is at fault."""


class ConfigError(TallymarkError):
    """A setting is wrong; the server does not start."""

    def __init__(self, message: str, *, at: str = "") -> None:
        super().__init__("invalid_setting", message, at=at)


class FormatError(TallymarkError):
    """What stands on disk cannot be read by this version."""

    def __init__(self, message: str, *, at: str = "") -> None:
        super().__init__("unreadable_format", message, at=at)
