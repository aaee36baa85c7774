"""What other people's tools read under the names of the engine's own lists: one database, one table, its columns.

Comes in: a connection of the internal role once, later statements of visitors. Goes out: the same statements with
constants in the place of `system.tables` and its like, and SELECTs in the place of SHOW and EXISTS. `visitors` asks
here before it judges a statement, so what is put in is judged too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tallymark.store.engine import Connection, quote_name, quote_text
from tallymark.store.errors import EngineError
from tallymark.store.parser import read_tree, read_words, render_tree
from tallymark.store.schema import DATABASE, EVENT_COLUMNS, EVENTS_TABLE, SORTING_KEY
from tallymark.store.statements import read_tokens

_TABLE: Final = EVENTS_TABLE.partition(".")[2]

_D: Final = quote_text(DATABASE)
_T: Final = quote_text(_TABLE)
# The engine leaves this out where it tells the type, since it is what there is without.
_DEFAULT_PATHS: Final = "(max_dynamic_paths=1024)"
_COLUMNS: Final = ", ".join(
    f"({place}, {quote_text(column.name)}, {quote_text(column.type.removesuffix(_DEFAULT_PATHS))})"
    for place, column in enumerate(EVENT_COLUMNS, 1)
)
_ROWS: Final = f"(SELECT arrayJoin([{_COLUMNS}]) AS listed)"
_NULLABLE: Final = "startsWith(listed.3, 'Nullable(')"
_KEYED: Final = f"has({SORTING_KEY.split(', ')!r}, listed.2)"

# By table: where its rows come from, and the columns that tell something. All other columns are empty.
_ONE: Final = "system.one"
_ROWS_BY_TABLE: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "system.databases": (_ONE, {"name": _D, "database": _D, "engine": "'Atomic'", "engine_full": "'Atomic'"}),
    "system.tables": (
        _ONE,
        {
            "database": _D,
            "name": _T,
            "table": _T,
            "engine": "'MergeTree'",
            "engine_full": quote_text(f"MergeTree ORDER BY ({SORTING_KEY})"),
            "sorting_key": quote_text(SORTING_KEY),
            "primary_key": quote_text(SORTING_KEY),
            "has_own_data": "1",
            # JDBC takes a table without a path for one on another machine.
            "data_paths": "['']",
            # Of all projects they would tell; here nothing is known.
            **dict.fromkeys(("total_rows", "total_bytes", "total_bytes_uncompressed", "parts"), "NULL"),
            **dict.fromkeys(("active_parts", "total_marks", "lifetime_rows", "lifetime_bytes"), "NULL"),
        },
    ),
    "system.columns": (
        _ROWS,
        {
            "database": _D,
            "table": _T,
            "name": "listed.2",
            "column": "listed.2",
            "type": "listed.3",
            "position": "listed.1",
            "is_in_sorting_key": _KEYED,
            "is_in_primary_key": _KEYED,
        },
    ),
    "information_schema.schemata": (
        _ONE,
        {"catalog_name": _D, "schema_name": _D},
    ),
    "information_schema.tables": (
        _ONE,
        {"table_catalog": _D, "table_schema": _D, "table_name": _T, "table_type": "'BASE TABLE'"},
    ),
    "information_schema.columns": (
        _ROWS,
        {
            "table_catalog": _D,
            "table_schema": _D,
            "table_name": _T,
            "column_name": "listed.2",
            "ordinal_position": "listed.1",
            "is_nullable": f"if({_NULLABLE}, '1', '0')",
            "data_type": "listed.3",
            "column_type": "listed.3",
        },
    ),
}
ANSWERED_TABLES: Final = frozenset(_ROWS_BY_TABLE)
# A statement without any of these words has nothing to put in.
_WORDS: Final = frozenset(name.partition(".")[2] for name in _ROWS_BY_TABLE) | {"settings"}

_SHOWN_COLUMNS: Final = (
    f"listed.2 AS field, listed.3 AS type, if({_NULLABLE}, 'YES', 'NO') AS `null`, if({_KEYED}, 'PRI SOR', '') AS key,"
    " CAST(NULL, 'Nullable(String)') AS default, '' AS extra"
)
_SHOWN_FULL: Final = ", CAST(NULL, 'Nullable(String)') AS collation, '' AS comment, '' AS privileges"

# What of the trees of SHOW is understood here; a statement that has more is refused.
_SHOW_KEYS: Final = {
    "ShowTablesQuery": frozenset({"databases", "full", "from", "like", "not_like", "case_insensitive_like", "limit_length"}),
    "ShowColumnsQuery": frozenset({"full", "database", "table", "like", "not_like", "case_insensitive_like", "limit_length"}),
}  # fmt: skip
_IGNORED_KEYS: Final = frozenset(
    {"type", "is_outfile_append", "is_outfile_truncate", "is_into_outfile_with_stdout"}
)


class SystemTables:
    """The constants, in the shape that the tables have in the engine of this process."""

    def __init__(self, connection: Connection, settings: str) -> None:
        """Read the shape of each table; `settings` is the SELECT that stands for `system.settings`."""
        selects = {name: _build_select(connection, name) for name in _ROWS_BY_TABLE} | {
            "system.settings": settings
        }
        self._subqueries = {name: _read_subquery(connection, sql) for name, sql in selects.items()}

    def substitute(self, connection: Connection, sql: str) -> str:
        """Return the SELECT with constants for the engine's lists, under the names and aliases that it gives them."""
        if not any(token.is_name and token.value.lower() in _WORDS for token in read_tokens(sql)):
            return sql
        tree = read_tree(connection, sql)
        if tree is None or not self._replace(tree):
            return sql
        return render_tree(connection, tree)

    def _replace(self, tree: dict[str, Any]) -> bool:
        """Replace tables in the tree, and rename columns that bear a table's full name; tell whether there were any."""
        aliases: dict[tuple[str, ...], str] = {}
        columns: list[dict[str, Any]] = []
        for node in _walk(tree):
            subquery = self._find(node.get("database_and_table_name"))
            if subquery is not None:
                table = node.pop("database_and_table_name")
                node["subquery"] = subquery
                aliases.setdefault(tuple(table["name_parts"]), subquery["alias"])
            elif node.get("type") == "Identifier" and len(node.get("name_parts") or ()) > 2:
                columns.append(node)
        for column in columns:
            alias = aliases.get(tuple(column["name_parts"][:2]))
            if alias is not None:
                column["name_parts"] = [alias, *column["name_parts"][2:]]
                column["name"] = ".".join(column["name_parts"])
        return bool(aliases)

    def _find(self, table: Any) -> dict[str, Any] | None:
        if not isinstance(table, dict) or table.get("type") != "TableIdentifier":
            return None
        parts = table.get("name_parts") or []
        if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            return None
        database, name = parts
        if database.lower() == "information_schema":
            database, name = database.lower(), name.lower()
        subquery = self._subqueries.get(f"{database}.{name}")
        return None if subquery is None else {**subquery, "alias": table.get("alias") or parts[1]}


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a tree, but none of what the caller puts into a node that it was given."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            below = list(node.values())
            yield node
            waiting += below
        elif isinstance(node, list):
            waiting += node


def _build_select(connection: Connection, name: str) -> str:
    """Return the SELECT of all columns that the engine's table has, with values in those that we answer for."""
    source, values = _ROWS_BY_TABLE[name]
    body = connection.run(f"DESCRIBE TABLE {name}", "JSONCompactEachRow").body
    columns = []
    for line in body.splitlines():
        column, kind = json.loads(line)[:2]
        value = values.get(column.lower(), f"defaultValueOfTypeName({quote_text(kind)})")
        columns.append(f"CAST({value}, {quote_text(kind)}) AS {quote_name(column)}")
    return f"SELECT {', '.join(columns)} FROM {source}"  # noqa: S608 - constants and the engine's own names


def _read_subquery(connection: Connection, select: str) -> dict[str, Any]:
    tree = read_tree(connection, f"SELECT * FROM ({select})")  # noqa: S608 - made above
    for key in ("list_of_selects", "children", 0, "tables", "children", 0, "table_expression", "subquery"):
        tree = tree[key]  # type: ignore[index]
    subquery: dict[str, Any] = tree  # type: ignore[assignment]
    return subquery


def answer_show(connection: Connection, sql: str) -> str | None:
    """Return a SELECT that answers SHOW or EXISTS for a visitor; None for any other statement.

    Raises EngineError for what may not be shown.
    """
    first = next((token.upper for token in read_tokens(sql)), "")
    if first == "EXISTS":
        return _answer_exists(connection, sql)
    if first != "SHOW":
        return None
    tree = read_tree(connection, sql)
    known = _SHOW_KEYS.get(str(tree["type"]), frozenset()) if tree is not None else frozenset()
    if tree is None or not known:
        raise EngineError(
            497, "Not enough privileges: only SHOW TABLES, DATABASES and COLUMNS may be used here"
        )
    more = {key for key, value in tree.items() if value and key not in known | _IGNORED_KEYS}
    if more:
        raise EngineError(
            497, f"Not enough privileges: SHOW with {', '.join(sorted(more))} may not be used here"
        )
    if tree["type"] == "ShowColumnsQuery":
        return _show_columns(tree)
    if tree.get("databases"):
        return _end_show(f"SELECT {_D} AS name", "name", tree)
    _check_database(_read_name(tree.get("from")))
    more_columns = ", 'MergeTree' AS engine" if tree.get("full") else ""
    return _end_show(f"SELECT {_T} AS name{more_columns}", "name", tree)


def _show_columns(tree: dict[str, Any]) -> str:
    _check_database(tree.get("database") or "")
    if tree.get("table") != _TABLE:
        raise EngineError(60, f"Table {tree.get('table')} does not exist")
    columns = _SHOWN_COLUMNS + (_SHOWN_FULL if tree.get("full") else "")
    return _end_show(f"SELECT {columns} FROM {_ROWS}", "field", tree)  # noqa: S608 - constants


def _end_show(select: str, column: str, tree: dict[str, Any]) -> str:
    """Return the SELECT with the LIKE and LIMIT of the SHOW."""
    sql = f"SELECT * FROM ({select})"  # noqa: S608 - built above
    like = tree.get("like")
    if like:
        negated = "NOT " if tree.get("not_like") else ""
        word = "ILIKE" if tree.get("case_insensitive_like") else "LIKE"
        sql += f" WHERE {column} {negated}{word} {quote_text(str(like))}"
    sql += f" ORDER BY {column}"
    limit = tree.get("limit_length")
    if limit is not None:
        number = limit.get("value", {}).get("value") if isinstance(limit, dict) else None
        if not isinstance(number, int):
            raise EngineError(62, "The LIMIT of SHOW has to be a number here")
        sql += f" LIMIT {number}"
    return sql


def _read_name(node: Any) -> str:
    if node is None:
        return ""
    # A parameter has no name yet.
    if not isinstance(node, dict) or not isinstance(node.get("name"), str) or not node["name"]:
        raise EngineError(497, "Not enough privileges: the database has to be named here")
    return str(node["name"])


def _check_database(name: str) -> None:
    if name not in {"", DATABASE}:
        raise EngineError(
            497, f"Not enough privileges: database {name} may not be read here, only {DATABASE}"
        )


def _answer_exists(connection: Connection, sql: str) -> str:
    """Answer for what a visitor sees: whatever else there is does not exist for it."""
    words = read_words(connection, sql)
    names = [token.value for token in words[2:] if token.text != "."]
    kind = words[1].upper
    seen = (kind == "DATABASE" and names == [DATABASE]) or (
        kind == "TABLE" and names in ([_TABLE], [DATABASE, _TABLE])
    )
    return f"SELECT toUInt8({int(seen)}) AS result"
