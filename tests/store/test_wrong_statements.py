"""Whose fault an error is: a wrong statement is its asker's, 4xx, whatever code the engine has for it; 500 is ours."""

from __future__ import annotations

import pytest

from tallymark.store.http_handler import find_status

pytestmark = pytest.mark.store

# By what the engine says of them.
WRONG = {
    1: ["SELECT number.* FROM numbers(3)"],
    12: ["SELECT bitTest(1, 100)"],
    20: ["SELECT 1 IN (SELECT 1, 2)"],
    33: ["SELECT finalizeAggregation(CAST('abc' AS AggregateFunction(quantiles(0.5), UInt64)))"],
    35: ["SELECT char()", "SELECT 1 FROM values()"],
    51: ["SELECT COLUMNS('nosuch') FROM numbers(3)", "SELECT * EXCEPT number FROM numbers(3)"],
    59: ["SELECT number FROM numbers(3) WHERE [1]"],
    124: ["SELECT (1, 2) IN (1, 2, 3)"],
    125: ["SELECT (SELECT number FROM numbers(3))"],
    128: ["SELECT arrayResize([1], 10000000000)"],
    141: ["SELECT * FROM events SAMPLE 0.1"],
    153: ["SELECT 1 % 0", "SELECT intDiv(1, 0)"],
    162: [
        f"WITH {', '.join(f't{n + 1} AS (SELECT * FROM t{n})' for n in range(300))}, t0 AS (SELECT 1) SELECT * FROM t300"
    ],
    167: ["SELECT " + "abs(" * 2000 + "1" + ")" * 2000, "SELECT " + "+".join(["1"] * 20000)],
    168: ["SELECT " + ",".join(["1"] * 60000)],
    170: ["SELECT studentTTest(1)(1, 2)"],
    179: ["SELECT 1 AS a, 2 AS a, a"],
    181: ["SELECT * FROM events FINAL", "SELECT * FROM numbers(3) FINAL"],
    182: ["SELECT * FROM numbers(3) PREWHERE number = 1"],
    184: ["SELECT sum(sum(1))", "SELECT number FROM numbers(3) WHERE count() > 1"],
    190: ["SELECT arrayMap((x, y) -> x, [1], [1, 2])", "SELECT dotProduct([1], [1, 2])"],
    215: ["SELECT number, count() FROM numbers(3)"],
    258: ["SELECT 1 UNION ALL SELECT 'a', 2"],
    306: [
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 2000) SELECT count() FROM x",
    ],
    360: ["SELECT convertCharset('a', 'no', 'utf8')"],
    376: ["SELECT toUUID('x')"],
    395: ["SELECT throwIf(1)", "SELECT throwIf(number = 2, 'no') FROM numbers(3)"],
    399: ["SELECT 1 FORMAT JSONAsString"],
    403: ["SELECT * FROM numbers(3) a SEMI JOIN numbers(3) b ON a.number = b.number OR a.number > 1"],
    406: ["SELECT TOP 1 number FROM numbers(3) LIMIT 1"],
    407: ["SELECT toDecimal32(1e9, 8) * toDecimal32(1e9, 8)", "SELECT toDateTime64('2300-01-01', 9)"],
    440: ["SELECT number FROM numbers(3) LIMIT 'a'"],
    454: ["SELECT decrypt('aes-256-gcm', repeat('x', 40), repeat('y', 32), repeat('z', 12))"],
    475: ["SELECT number FROM numbers(3) ORDER BY number WITH FILL STEP 0"],
    476: ["SELECT number FROM numbers(3) LIMIT 1 WITH TIES"],
    558: ["SELECT 1 UNION SELECT 2"],
    596: ["SELECT 1 INTERSECT SELECT 1, 2"],
    621: ["SELECT normalizeUTF8NFC(unhex('ff'))"],
    628: ["SELECT number FROM numbers(3) OFFSET 1 ROW FETCH FIRST 1 ROW ONLY"],
    675: ["SELECT toIPv4('x')"],
    676: ["SELECT toIPv6('x')"],
    721: ["SELECT runningDifference(number) FROM numbers(3)"],
}
WRONG_SETTINGS = {
    19: {"format_csv_delimiter": "ab"},
    145: {"result_overflow_mode": "no"},
    467: {"extremes": "7"},
}


@pytest.mark.parametrize(
    ("code", "sql"),
    [pytest.param(code, sql, id=f"{code}-{n}") for code, some in WRONG.items() for n, sql in enumerate(some)],
)
def test_a_wrong_statement_is_its_askers(store, code, sql):
    """It answers 4xx with the engine's text; the codes are those of this engine, and another one may choose others."""
    answer = store.ask(sql, project="mine")
    assert 400 <= answer.status < 500, answer.text
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code), answer.text


@pytest.mark.parametrize(("code", "settings"), WRONG_SETTINGS.items())
def test_a_wrong_setting_is_its_askers(store, code, settings):
    """So does a setting with a value that it cannot have."""
    answer = store.ask("SELECT 1", project="mine", **settings)
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (400, str(code)), answer.text


def test_what_is_broken_here_stays_ours(store):
    """What the engine calls a fault of logic, of files, of the disk, of memory or of the network answers 500."""
    sql = "SELECT number FROM (SELECT toUInt32(number) AS number, errorCodeToName(toUInt32(number)) AS name FROM numbers(2000))"
    words = [
        "LOGICAL_ERROR",
        "FILE_DESCRIPTOR",
        "CANNOT_OPEN_FILE",
        "FSYNC",
        "ALLOCATE",
        "NOT_ENOUGH_SPACE",
        "CHECKSUM",
        "CORRUPTED",
    ]
    words += [
        "SOCKET$",
        "NETWORK_ERROR",
        "SYSTEM_ERROR",
        "STD_EXCEPTION",
        "UNKNOWN_EXCEPTION",
        "CANNOT_DECOMPRESS",
        "DATA_PART$",
    ]
    found = store.ask(
        f"{sql} WHERE match(name, '{'|'.join(words)}') AND name NOT LIKE 'DUPLICATE%'"
    ).text.split()
    assert len(found) > len(words)
    assert {number for number in found if find_status(int(number)) != 500} == set()
