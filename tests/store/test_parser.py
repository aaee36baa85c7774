"""A statement means here what it means to the engine: its lexer and its parser are asked, over a corpus of odd statements."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.store.schema import EVENTS_TABLE
from tallymark.store.statements import read_tokens

pytestmark = pytest.mark.store

# Each is a whole SELECT without a FORMAT clause. The same for other tools and for our own processes.
CORPUS = r"""
SELECT 1
SELECT 'png' AS format ORDER BY format DESC
SELECT 'png' AS format ORDER BY format ASC
SELECT 'png' AS format ORDER BY format
SELECT 'png' AS FORMAT ORDER BY FORMAT DESC
SELECT 'png' AS `format` ORDER BY `format` DESC
SELECT 'png' AS "format" ORDER BY "format" DESC
SELECT 1 AS format, 2 AS json ORDER BY format, json
SELECT 1 AS JSON, 2 AS format ORDER BY format DESC, JSON ASC
SELECT format FROM (SELECT 'a' AS format) ORDER BY format DESC
SELECT format FROM (SELECT 'a' AS format) GROUP BY format
SELECT format FROM (SELECT 'a' AS format) GROUP BY format HAVING format = 'a'
SELECT format FROM (SELECT 'a' AS format) WHERE format LIKE 'a'
SELECT format FROM (SELECT 'a' AS format) WHERE format IN ('a')
SELECT format FROM (SELECT 'a' AS format) WHERE format BETWEEN 'a' AND 'b'
SELECT format FROM (SELECT 'a' AS format) WHERE format IS NOT NULL
SELECT format FROM (SELECT 'a' AS format) LIMIT 1 BY format
SELECT format FROM (SELECT 'a' AS format) ORDER BY format DESC NULLS LAST
SELECT format FROM (SELECT 'a' AS format) ORDER BY format COLLATE 'en'
SELECT format FROM (SELECT 1 AS format) ORDER BY format WITH FILL
SELECT format.format FROM (SELECT 'a' AS format) AS format
WITH format AS (SELECT 1 AS x) SELECT x FROM format
WITH format AS (SELECT 1 AS x) SELECT x FROM format ORDER BY x
WITH 1 AS format SELECT format
WITH 'JSON' AS format SELECT format AS JSON
WITH format AS (SELECT 1 AS x) SELECT format.x FROM format JOIN (SELECT 1 AS x) AS other USING x
SELECT format('{} {}', 'Hello', 'World')
SELECT format('{} {}', 'Hello', 'World') AS format
SELECT format('{}', 'x') AS format ORDER BY format DESC
SELECT * FROM (SELECT 1 AS format UNION ALL SELECT 2 AS format) ORDER BY format DESC
(SELECT 1 AS format) UNION ALL (SELECT 1 AS format)
SELECT 1 AS format UNION ALL SELECT 1 AS format
SELECT 1 AS format INTERSECT SELECT 1 AS format
SELECT (SELECT 1 AS format) AS format ORDER BY format DESC
FROM (SELECT 1 AS format) SELECT format
SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END AS format ORDER BY format DESC
SELECT if(1, 'format', 'json') AS x
SELECT 1 ? 'format' : 'json'
SELECT 'FORMAT JSON'
SELECT ' FORMAT JSON' AS x ORDER BY x
SELECT 'it''s FORMAT JSON'
SELECT 'a\' FORMAT JSON'
SELECT "format" FROM (SELECT 1 AS "format")
SELECT `FORMAT JSON` FROM (SELECT 1 AS `FORMAT JSON`)
SELECT `FORMAT``JSON` FROM (SELECT 1 AS `FORMAT``JSON`)
SELECT “format” FROM (SELECT 1 AS “format”)
SELECT ‘FORMAT JSON’
SELECT $$FORMAT JSON$$
SELECT $$'$$, '$$ FORMAT JSON $$'
SELECT $x$ FORMAT $$ JSON $x$
SELECT $doc$it's; a -- heredoc /* $doc$
SELECT $$;$$ AS x ORDER BY x
SELECT x'464f524d4154'
SELECT b'01000001'
SELECT 1 -- FORMAT JSON
SELECT 1 --FORMAT JSON
SELECT 1 // FORMAT JSON
SELECT 1 # FORMAT JSON
SELECT 1 #! FORMAT JSON
SELECT 1 /* FORMAT JSON */
SELECT /* FORMAT JSON */ 1
SELECT 1 /* a /* nested FORMAT JSON */ b */
SELECT 1 /* ' */ AS x /* ' */
SELECT '/* ' AS x, ' */' AS y
SELECT '-- ' AS x, 2 AS y
SELECT 1 AS x /* ; */ ORDER BY x -- ;
SELECT ';' AS x
SELECT 1 - -1
SELECT 1--1
SELECT 2 / 1
SELECT 1 AS format_json ORDER BY format_json DESC
SELECT 1 AS formats ORDER BY formats DESC
SELECT 1 AS a$b ORDER BY a$b DESC
SELECT 1 AS settings ORDER BY settings DESC
SELECT settings FROM (SELECT 1 AS settings) ORDER BY settings
SELECT 1 AS insert
SELECT 1 AS infile
SELECT 1 AS outfile ORDER BY outfile
SELECT 1 AS kill
SELECT 'INTO OUTFILE' AS x
SELECT 'KILL QUERY WHERE query_id = 1' AS x
SELECT [1, 2][1] AS format ORDER BY format DESC
SELECT (1, 2).1 AS format ORDER BY format DESC
SELECT map('a', 1)['a'] AS format ORDER BY format DESC
SELECT arrayMap(format -> format + 1, [1])
SELECT arrayMap((format, json) -> format + json, [1], [2])
SELECT CAST('1' AS Int8) AS format ORDER BY format DESC
SELECT '1'::Int8 AS format ORDER BY format DESC
SELECT DATE '2026-01-31' AS format ORDER BY format DESC
SELECT INTERVAL 1 DAY AS format
SELECT count(DISTINCT format) FROM (SELECT 1 AS format)
SELECT sum(format) OVER (ORDER BY format DESC) FROM (SELECT 1 AS format)
SELECT row_number() OVER format FROM (SELECT 1 AS x) WINDOW format AS (ORDER BY x DESC)
SELECT * EXCEPT (format) FROM (SELECT 1 AS format, 2 AS x)
SELECT * REPLACE (2 AS format) FROM (SELECT 1 AS format)
SELECT COLUMNS('format') FROM (SELECT 1 AS format, 2 AS x)
SELECT quantile(0.5)(format) FROM (SELECT 1 AS format)
SELECT format FROM (SELECT 1 AS format) ARRAY JOIN [1] AS x
SELECT number AS format FROM numbers(3) ORDER BY format DESC
SELECT number AS format FROM numbers(3) ORDER BY format DESC LIMIT 1
SELECT number AS format FROM numbers(3) ORDER BY format DESC LIMIT 1 OFFSET 1
SELECT number AS format FROM numbers(3) ORDER BY format DESC OFFSET 1 ROW FETCH FIRST 1 ROWS ONLY
SELECT number AS format FROM numbers(3) GROUP BY format WITH TOTALS ORDER BY format DESC
SELECT number FROM numbers(0)
SELECT 1 AS x WHERE 0
SELECT {format:String} AS x
SELECT {format:String} AS format ORDER BY format DESC
SELECT 1 AS query_id WHERE query_id = 1
SELECT count() AS format FROM events ORDER BY format DESC
SELECT event_name AS format, count() AS n FROM events GROUP BY format ORDER BY format DESC
SELECT attributes.format FROM events ORDER BY event_id DESC
SELECT e.attributes.format.:String AS format FROM events e ORDER BY format DESC
SELECT tallymark.events.event_name FROM tallymark.events ORDER BY 1
SELECT  '	tab and line break' AS x
SELECT   1   AS   format   ORDER   BY   format   DESC
select 1 as format order by format desc
"""
STATEMENTS = [line for line in CORPUS.splitlines() if line]
ENDS = ["", ";", " ; ;", "\n-- FORMAT JSON", " /* FORMAT JSON */;"]
FORMAT = "JSONCompactEachRowWithNames"


@pytest.fixture(scope="module")
def project(store):
    """Return a project with a few rows."""
    name = f"corpus-{uuid4().hex}"
    store.client().command(
        f"INSERT INTO {EVENTS_TABLE} (project, event_id, event_name, client_time, received_at, attributes) "
        "SELECT {p:String}, toString(number), 'n' || number, '2026-01-01', '2026-01-01', '{\"format\": \"png\"}' "
        "FROM numbers(3)",
        {"p": name},
    )
    return name


def test_the_corpus_is_large():
    """There are more than a hundred statements, each different."""
    assert len(set(STATEMENTS)) == len(STATEMENTS) > 100


@pytest.mark.parametrize("place", range(len(STATEMENTS)), ids=lambda place: STATEMENTS[place][:60])
def test_a_statement_means_the_same_in_every_way(store, project, place):
    """With the format beside it or as its clause, however it ends, as a visitor or as ourselves: one answer."""
    sql = STATEMENTS[place]
    end = ENDS[place % len(ENDS)]
    # A comment to the end of the line would swallow what is put behind it.
    clause = f"{sql}\nFORMAT {FORMAT}"
    common = {"param_format": "given", "database": "tallymark"}
    answers = {}
    for who in (project, ""):
        only = (
            {} if who else {"additional_table_filters": f"{{'{EVENTS_TABLE}': 'project = \\'{project}\\''}}"}
        )
        for way, (text, more) in {
            "beside": (sql, {"default_format": FORMAT}),
            "beside, ended": (f"{sql}\n{end}", {"default_format": FORMAT}),
            "clause": (clause, {}),
            "clause, ended": (f"{clause}{end}", {"default_format": "TSV"}),
            "clause, in the address": ("", {"query": clause}),
        }.items():
            answer = store.ask(text, project=who, **common, **only, **more)
            assert answer.status == 200, (who, way, answer.text)
            assert answer.headers["X-ClickHouse-Format"] == FORMAT, (who, way)
            answers[who != "", way] = answer.text
    assert len(set(answers.values())) == 1, answers
    assert isinstance(json.loads(answers[True, "beside"].splitlines()[0]), list)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS x FORMAT JSON SETTINGS max_threads = 1",
        "SELECT 1 AS x SETTINGS max_threads = 1 FORMAT JSON",
        "SELECT 1 AS x format `JSON`",
        "SELECT 1 AS x\nfOrMaT/* */JSON;",
        "SELECT 1 AS format FORMAT JSON",
        "WITH 1 AS format SELECT format FORMAT JSON",
        "SELECT 1 AS format ORDER BY format DESC FORMAT JSON",
        "DESCRIBE TABLE events FORMAT JSON",
        "SHOW DATABASES FORMAT JSON",
        "EXISTS TABLE tallymark.events FORMAT JSON",
        "SHOW TABLES FROM tallymark LIKE 'format JSON' FORMAT JSON",
    ],
)
def test_formats_of_other_statements(store, sql):
    """The clause counts wherever the engine allows it, and the header tells what came."""
    answer = store.ask(sql, database="tallymark")
    assert answer.status == 200, answer.text
    assert answer.headers["X-ClickHouse-Format"] == "JSON"
    assert "data" in json.loads(answer.text)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 FORMAT", "62"),
        ("SELECT 1 FORMAT JSON FORMAT TSV", "62"),
        ("SELECT 1 ORDER BY format DESC", "47"),
        ("FORMAT JSON", "62"),
        ("SELECT 1 FORMAT NoSuchFormat", "73"),
        ("", "62"),
        (";", "62"),
    ],
)
def test_wrong_statements_keep_the_engines_code(store, project, sql, code):
    """What the engine refuses is refused with its code, for visitors and for us."""
    for who in (project, ""):
        answer = store.ask(sql or " ", project=who)
        assert answer.headers["X-ClickHouse-Exception-Code"] == code, answer.text


def test_inserts_that_only_look_like_files(store):
    """A table may be named infile; reading a file on the server is refused as before."""
    client = store.client()
    client.command("CREATE TABLE IF NOT EXISTS tallymark.infile (x Int64) ENGINE = Memory")
    client.command("CREATE TABLE IF NOT EXISTS tallymark.target (x Int64) ENGINE = Memory")
    answer = store.ask("INSERT INTO target SELECT x FROM infile", database="tallymark")
    assert answer.status == 200, answer.text
    for sql in ("INSERT INTO target FROM INFILE '/etc/passwd' FORMAT TSV", "SELECT 1 INTO OUTFILE '/tmp/x'"):
        assert store.ask(sql, database="tallymark").headers["X-ClickHouse-Exception-Code"] == "48"


def test_a_heredoc_is_no_end_of_an_inserts_head(store):
    """Words in heredocs and comments of an INSERT's head are not taken for its FORMAT."""
    client = store.client()
    client.command("CREATE TABLE IF NOT EXISTS tallymark.heads (a String, b String) ENGINE = Memory")
    for sql in (
        "INSERT INTO heads /* /* FORMAT CSV */ VALUES */ (a, b) FORMAT TSV\nx\ty\n",
        "INSERT INTO heads // FORMAT CSV\n(a, b) SETTINGS log_queries_cut_to_length = 1 FORMAT TSV\nx\ty\n",
        "INSERT INTO heads SELECT $$ FORMAT TSV $$, 'y'",
    ):
        answer = store.ask(sql, database="tallymark")
        assert answer.status == 200, answer.text
    rows = client.query_rows("SELECT trim(a), b FROM tallymark.heads").rows
    assert sorted(rows) == [("FORMAT TSV", "y"), ("x", "y"), ("x", "y")]


PIECES = st.sampled_from(
    ["SELECT", "format", "x", "a$b", "$x$", "$$", "$", "'", "''", "\\", '"', "`", "--", "//", "/*", "*/", "#", "# ",
     "#!", "\n", " ", "\t", ";", "(", ")", "1", "1.5", "x1", "é", "\u00a0", "\ufeff", "“", "”", "‘", "’", "@", "::"]
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenize(store):
    """Return the engine's lexer."""
    client = store.client()
    return lambda sql: _tokenize(client, sql)


def _tokenize(client, sql):
    """Return the engine's tokens: (start, end) in bytes, without blanks and comments; None where the lexer gives up."""
    rows = client.query_rows("SELECT tokenizeQuery({q:String})", {"q": sql}).rows[0][0]
    tokens = [
        (one["begin"], one["end"], one["type"]) if isinstance(one, dict) else tuple(one) for one in rows
    ]
    if any(str(kind).startswith("Error") for *_, kind in tokens):
        return None
    return [(begin, end) for begin, end, kind in tokens if kind not in {"Whitespace", "Comment"}]


def _join(tokens, sql):
    """Return where runs of touching tokens begin and end: the two may part operators differently."""
    runs = []
    for begin, end in tokens:
        if runs and runs[-1][1] == begin:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    assert all(0 <= begin < end <= len(sql.encode()) for begin, end in runs)
    return runs


def _read(sql):
    return [(len(sql[: one.start].encode()), len(sql[: one.end].encode())) for one in read_tokens(sql)]


@pytest.mark.parametrize("sql", STATEMENTS)
def test_tokens_of_the_corpus_are_the_engines(tokenize, sql):
    """Quotes, comments and blanks end where the engine's lexer has them end."""
    assert _join(_read(sql), sql) == _join(tokenize(sql), sql)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_tokens_of_any_text_are_the_engines(tokenize, sql):
    """Whatever the pieces, the two lexers agree on what is quoted and what is comment."""
    expected = tokenize(sql)
    if expected is not None:
        assert _join(_read(sql), sql) == _join(expected, sql)
