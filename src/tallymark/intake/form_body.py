"""Bodies that wrap their JSON: forms with a field `data`, and base64, as browsers and old SDKs send them.

Receivers call `read_form` and `unwrap_json` on a decompressed body.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from tallymark.errors import RequestRefused

_FORM: Final = re.compile(rb"(?:^|&)data=")
# Browsers send 64 KiB of a form when a page closes. Decoding one holds up everything else for a moment.
_MOST_FORM_BYTES: Final = 256 * 1024
_MOST_BASE64_BYTES: Final = 2 * 1024 * 1024
_MOST_FIELDS: Final = 64
# With the bytes of a byte order mark.
_WHITE: Final = b" \t\r\n\xef\xbb\xbf"


def read_form(text: bytes) -> dict[str, str]:
    """Return the fields of a form; none of a body that is JSON. Raises RequestRefused: body_too_large, invalid_encoding."""
    if text[:64].lstrip(_WHITE)[:1] in (b"{", b"[") or not _FORM.search(text, 0, _MOST_FORM_BYTES):
        return {}
    if len(text) > _MOST_FORM_BYTES:
        raise RequestRefused("body_too_large", f"A form may have {_MOST_FORM_BYTES} bytes. Send JSON.")
    try:
        return dict(parse_qsl(text.decode(errors="replace"), max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise RequestRefused(
            "invalid_encoding", f"The form has more than {_MOST_FIELDS} fields. Send JSON."
        ) from error


def unwrap_json(text: bytes, fields: Mapping[str, str]) -> bytes:
    """Return the JSON text of a body, which a form or base64 may wrap; a text that is neither as it is."""
    wrapped = fields["data"].encode() if "data" in fields else text
    wrapped = wrapped.strip(_WHITE)
    if wrapped[:1] in (b"{", b"[") or len(wrapped) > _MOST_BASE64_BYTES:
        return wrapped
    # A form turns + into a space.
    found = wrapped.replace(b" ", b"+").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(found + b"=" * (-len(found) % 4), validate=True)
    except binascii.Error:
        return wrapped
