"""Where a text stands: what the name of its member says about it.

The privacy rules ask `find_place` before they judge a text: `1.2.3.4` is an address under `client_ip` and a version
under `build`. Names are read as words, so `userAgent`, `user_agent` and `User-Agent` are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from tallymark.rules.names import KEYS_OF, PASSWORD_WORDS, TOKEN_WORDS, join_words, read_words, split_name


class Kind(Enum):
    """What a member's name says about the value under it."""

    TEXT = auto()  # nothing in particular
    NAME = auto()  # the text itself is a name: of an event or of an attribute
    ID = auto()  # an identifier
    NUMBER = auto()  # a reference number, a quantity or a time
    VERSION = auto()
    CARD = auto()
    ADDRESS = auto()  # an IP address or a host
    AGENT = auto()  # a user agent
    PASSWORD = auto()
    TOKEN = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A kind, and whether the value identifies something: then it is replaced as a whole, by a pseudonym."""

    kind: Kind
    identifies: bool = False


TEXT = Place(Kind.TEXT)
NAME = Place(Kind.NAME)
ID = Place(Kind.ID, identifies=True)
NUMBER = Place(Kind.NUMBER, identifies=True)
VERSION = Place(Kind.VERSION)
_VERSION_ID = Place(Kind.VERSION, identifies=True)
CARD = Place(Kind.CARD)
ADDRESS = Place(Kind.ADDRESS)
AGENT = Place(Kind.AGENT)
PASSWORD = Place(Kind.PASSWORD)
TOKEN = Place(Kind.TOKEN)


# Members of an event whose names do not say it.
CORE_PLACES = {
    "event_name": NAME,
    "event_type": NAME,
    "performer_name": ID,
    "performer_groups": ID,
}

# Longer names are sentences; nobody looks a place up by them.
_MOST_CHARACTERS = 256

_ID_WORDS = read_words("id ids uid uids uuid uuids guid guids pk")
_NUMBER_WORDS = read_words(
    "number numbers num nr no ref refs reference references tracking order orders invoice invoices receipt serial serials sn "
    "imei imeis imsi iccid meid ean eans gtin gtins isbn isbns issn upc upcs asin barcode barcodes qr sku skus code codes hash "
    "hashes checksum digest etag fingerprint nonce timestamp timestamps time ts at date ms ns us nanos micros millis nanoseconds "
    "microseconds milliseconds seconds duration elapsed count counts total totals sum bytes size length offset position "
    "sequence seq cursor index snowflake shipment shipments parcel parcels waybill transaction transactions txn trace span "
    "batch lot ticket tickets case "
    "account accounts iban customer customers user users member members device devices session sessions request requests "
    "item items product products article articles phone tel telephone mobile fax msisdn key"
)
# These make the value a version wherever they stand in the name, the others only as its last word.
_VERSION_WORDS = read_words(
    "version versions ver vers build builds release releases revision revisions firmware firmwares semver"
)
_VERSIONED_WORDS = read_words(
    "v rev fw driver drivers sdk os browser browsers app apps tag tags package packages dependency dependencies engine engines "
    "runtime kernel platform commit oid oids patch chrome chromium firefox safari edge opera windows android ios macos electron "
    "java python ruby php dotnet assembly module plugin plugins library libraries lib section chapter clause paragraph"
)
_CARD_WORDS = read_words(
    "card cards cardnumber cardno pan creditcard debitcard cc ccnum ccnumber visa mastercard maestro amex discover jcb "
    "unionpay diners"
)
_ADDRESS_WORDS = read_words(
    "ip ips ipv ipaddr ipaddress addr addrs address addresses host hosts hostname peer peers nameserver gateway forwarded"
)
# Addresses of another kind; some hardware's are written as IPv6 addresses are.
_OTHER_ADDRESS_WORDS = read_words(
    "mac hw hardware ethernet bluetooth ble bt eui memory mem email mail street"
)
# A member may hold several secrets. The words that only stand here are ordinary ones where a parameter has them:
# `accesskey=S` is a key to press.
_PASSWORD_WORDS = PASSWORD_WORDS | read_words("passwords passcode")
_TOKEN_WORDS = TOKEN_WORDS | read_words("secrets accesskey secretkey bearer")

# What the bytes of a JSON text hold where a member's name is of such a place (RE2 syntax). They may find too much.
KEY_HINTS = {
    Kind.AGENT: rb'(?i)(?:agent|"ua)[^"a-z]*"\s*:',
    Kind.ADDRESS: rb'(?i)(?:ip|addr|host|peer|nameserver|gateway|forwarded)[^"]*"\s*:',
    Kind.PASSWORD: rb"(?i)(?:" + join_words(_PASSWORD_WORDS) + rb')[^"]*"\s*:',
    Kind.TOKEN: (
        rb"(?i)(?:"
        + join_words(_TOKEN_WORDS)
        + rb"|(?:"
        + join_words(KEYS_OF)
        + rb')[^"a-z]*key)[^"a-z]*"\s*:'
    ),
}


def find_place(name: str, parent: Place = TEXT) -> Place:
    """Tell where the value of member `name` stands; `parent` is the place of the object or list that holds it."""
    place = _find_own_place(name) if len(name) <= _MOST_CHARACTERS else TEXT
    if place is TEXT or (place is NUMBER and parent is CARD):
        return parent
    return place


@lru_cache(maxsize=4096)
def _find_own_place(name: str) -> Place:
    if name in CORE_PLACES:
        return CORE_PLACES[name]
    words = split_name(name)
    if not words:
        return TEXT
    return _judge_words(words)


def _judge_words(words: list[str]) -> Place:
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    place = TEXT
    if last in _ID_WORDS:
        place = ID if _VERSION_WORDS.isdisjoint(words) else _VERSION_ID
    elif (last == "agent" and before == "user") or last == "useragent" or words == ["ua"]:
        place = AGENT
    elif last in _PASSWORD_WORDS:
        place = PASSWORD
    elif last in _TOKEN_WORDS or (last == "key" and before in KEYS_OF):
        place = TOKEN
    elif last in _ADDRESS_WORDS:
        place = ADDRESS if _OTHER_ADDRESS_WORDS.isdisjoint(words) else TEXT
    elif not _CARD_WORDS.isdisjoint(words):
        place = CARD
    elif last in _VERSIONED_WORDS or not _VERSION_WORDS.isdisjoint(words):
        place = VERSION
    elif "forwarded" in words:
        place = ADDRESS
    elif last in _NUMBER_WORDS:
        place = NUMBER
    return place
