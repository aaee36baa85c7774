"""What other people's tools may ask: one SELECT over the event table, with functions and tables that are listed here.

Comes in: SQL text and a connection of the visitors' role. Goes out: the text to run and its format, or EngineError.
The engine's own `EXPLAIN AST` takes the statement apart; every kind of node, function and table that is not allowed
is refused, so what a new engine adds stays shut. Why it is done so: docs/decisions/0004-project-isolation.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from tallymark.store.engine import Connection
from tallymark.store.errors import EngineError
from tallymark.store.parser import part_format, read_words
from tallymark.store.schema import EVENTS_TABLE
from tallymark.store.statements import is_select
from tallymark.store.system_tables import SystemTables, answer_show

# Nodes that hold nothing by themselves or whose parts stand below them in the tree. Not here, among many:
# Set (settings in the statement), ColumnsApplyTransformer (its function is not in the tree), Explain.
_NODES_TEXT: Final = """
SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery ExpressionList Subquery WithElement
TablesInSelectQuery TablesInSelectQueryElement TableExpression TableJoin ArrayJoin SampleRatio
Literal Identifier TableIdentifier Function Asterisk QualifiedAsterisk ColumnsRegexpMatcher
QualifiedColumnsRegexpMatcher ColumnsListMatcher QualifiedColumnsListMatcher ColumnsTransformerList
ColumnsExceptTransformer ColumnsReplaceTransformer ColumnsReplaceTransformer::Replacement
OrderByElement InterpolateElement WindowDefinition WindowListElement DescribeQuery
"""
_NODES: Final = frozenset(_NODES_TEXT.split())

# Tables by their full names. A bare name can only be the event table, a WITH of the statement's own, or nothing:
# the role has no right to any other table of the current database.
# Those of the engine tell what it is made of, the same in every installation.
_SYSTEM_TABLES_TEXT: Final = """one numbers settings functions formats data_type_families table_engines table_functions
keywords aggregate_function_combinators"""
_TABLES: Final = frozenset({EVENTS_TABLE, *(f"system.{name}" for name in _SYSTEM_TABLES_TEXT.split())})

_CATEGORIES_TEXT: Final = """Arithmetic|Arrays|Bit|Bitmap|Comparison|Conditional|Dates and Times|Distance|Encoding|Encryption|Financial|Geo
Geo Polygon|Hash|IP Address|JSON|Logical|Map|Mathematical|Null|NumericIndexedVector|Random Number|Rounding|String
String Replacement|String Search|String Splitting|Time Window|Tuple|Type Conversion|URL|UUID"""
_CATEGORIES: Final = frozenset(_CATEGORIES_TEXT.replace("\n", "|").split("|"))

# Of the mixed and the internal category: nothing that reads files, settings, the machine or other queries.
_SINGLE_FUNCTIONS_TEXT: Final = """
_CAST caseWithExpression bar blockNumber byteSize countDigits currentDatabase currentUser
defaultValueOfArgumentType defaultValueOfTypeName digits errorCodeToName finalizeAggregation
formatReadableDecimalSize formatReadableQuantity formatReadableSize formatReadableTimeDelta getSizeOfEnumType
getSubcolumn identity ignore initializeAggregation isConstant isDecimalOverflow lowCardinalityIndices
lowCardinalityKeys materialize minSampleSizeContinuous minSampleSizeConversion neighbor
parseISO8601Duration parseReadableSize parseReadableSizeOrNull parseReadableSizeOrZero parseTimeDelta
displayName revision rowNumberInAllBlocks rowNumberInBlock runningAccumulate runningDifference runningDifferenceStartingWithFirstValue
throwIf timezone toColumnTypeName toTypeName transform variantElement variantType version visibleWidth lambda
"""
_SINGLE_FUNCTIONS: Final = frozenset(_SINGLE_FUNCTIONS_TEXT.split())
_TABLE_FUNCTIONS: Final = frozenset(
    {
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generateseries",
        "generate_series",
        "values",
        "sqlstandardvalues",
    }
)
_REFUSED_AGGREGATES: Final = frozenset({"flameGraph", "aggThrow", "estimateCompressionRatio"})

# Those with progress tell how many rows were read, rows of other projects among them.
_FORMATS: Final = re.compile(
    r"(?!.*Progress)(TabSeparated|TSV|CSV|JSON|Pretty|RowBinary|Parquet|Arrow|Native|Vertical|XML|Markdown|Null|Values|TSKV)[A-Za-z]*"
)

# Settings by their names' beginnings: how an answer is written, and limits, whose maxima `limits` checks. None of them is
# about rows to read: rows of other projects count, so that an answer or none would tell how many those are.
# The engine reads this expression as well as Python does.
_SETTINGS: Final = (
    r"output_format_.+|max_(execution_time|memory_usage|result_rows|result_bytes"
    r"|threads|block_size)|date_time_output_format|session_timezone|join_use_nulls|extremes|format_csv_delimiter"
    r"|group_by_use_nulls|result_overflow_mode"
)
# Part of the names of settings that read files.
_NO_SETTINGS: Final = "schema"
# Tools read here what they may give with a request. The engine's own column tells of the connection, where nothing
# can be changed once the request's settings stand.
_SETTINGS_ROWS: Final = (
    f"SELECT * REPLACE (NOT match(name, '^({_SETTINGS})$') OR position(name, '{_NO_SETTINGS}') > 0 AS readonly)"  # noqa: S608 - constant text
    " FROM system.settings"
)

# Of MergeTree tables: parts and blocks are counted over all projects, so they tell what others do.
_VIRTUAL_COLUMNS_TEXT: Final = """
_part _part_index _part_starting_offset _part_uuid _part_data_version _part_offset _part_granule_offset
_partition_id _partition_value _sample_factor _disk_name _block_number _block_offset _distance _row_exists
_database _table _shard_num _unique_key_row _is_deleted
"""
VIRTUAL_COLUMNS: Final = frozenset(_VIRTUAL_COLUMNS_TEXT.split())

_LINE: Final = re.compile(r" *([A-Za-z:]+)(?: (.*))?", re.DOTALL)


class Gate:
    """Judges statements of visitors against what the engine of this process knows."""

    def __init__(self, connection: Connection) -> None:
        self._functions = _read_functions(connection)
        self._combinators = tuple(
            name.lower()
            for name in _read_names(connection, "SELECT name FROM system.aggregate_function_combinators")
        )
        # The first part of a name in another database. A column or alias of that name is refused with it.
        self._databases = frozenset(
            name.lower() for name in _read_names(connection, "SELECT name FROM system.databases")
        ) - {EVENTS_TABLE.partition(".")[0]}
        self._virtual: frozenset[str] | None = None
        self._system_tables = SystemTables(connection, _SETTINGS_ROWS)

    def check_settings(self, settings: Mapping[str, str]) -> None:
        """Raise EngineError 452 for a setting that visitors may not give."""
        for name in settings:
            if re.fullmatch(_SETTINGS, name) is None or _NO_SETTINGS in name:
                raise EngineError(452, f"Setting {name} may not be changed here")

    def check(
        self, connection: Connection, sql: str, fmt: str, parameters: Mapping[str, str]
    ) -> tuple[str, str]:
        """Return the statement to run, without its FORMAT clause, and the format.

        Where it reads the engine's lists of tables, columns, databases or settings, or says SHOW or EXISTS, it is
        another statement, which tells what visitors may know. Raises EngineError for what may not run.
        """
        text, named = part_format(connection, sql)
        chosen = named or fmt
        if _FORMATS.fullmatch(chosen) is None:
            raise EngineError(73, f"The format {chosen} may not be used here")
        kind, count = connection.classify(text)
        if count > 1:
            raise EngineError(62, "Multi-statements are not allowed")
        if kind not in {"READ_ONLY", "UNKNOWN"}:
            raise EngineError(164, "Cannot execute this query in readonly mode")
        if not named:
            # Before anything is put around the text: an error's position is then the asker's own. It also turns away
            # several statements of which one cannot be parsed: nobody has counted those, and the engine would run the
            # first. `part_format` has parsed a statement in which it found a FORMAT clause.
            read_words(connection, text)
        # Before the checks, so that they see what runs.
        answer = answer_show(connection, text)
        text = answer or (self._system_tables.substitute(connection, text) if is_select(text) else text)
        lines = connection.run(f"EXPLAIN AST {text}", "JSONCompactEachRow", parameters).body
        self._check_tree(connection, [str(json.loads(line)[0]) for line in lines.splitlines()])
        if kind == "UNKNOWN" and answer is None:
            raise EngineError(62, "Syntax error: the statement cannot stand by itself")
        return text, chosen

    def _check_tree(self, connection: Connection, lines: list[str]) -> None:
        nodes = [found for line in lines if line and (found := _LINE.fullmatch(line))]
        if not nodes or len(nodes) != sum(1 for line in lines if line):
            raise EngineError(497, "The query could not be taken apart")
        for found in nodes:
            node, rest = found.group(1), (found.group(2) or "").partition(" (")[0].strip()
            if node not in _NODES:
                raise EngineError(497, f"Not enough privileges: {_describe(node)} may not be used here")
            if node == "Function":
                self._check_function(rest)
            elif node == "TableIdentifier":
                self._check_table(rest)
            elif node == "Identifier":
                self._check_name(connection, rest)

    def _check_function(self, name: str) -> None:
        lowered = name.lower()
        if lowered in _TABLE_FUNCTIONS or lowered in self._functions:
            return
        base = self._functions.get
        for _ in range(4):
            suffix = next(
                (end for end in self._combinators if lowered.endswith(end) and lowered != end), None
            )
            if suffix is None:
                break
            lowered = lowered.removesuffix(suffix)
            if base(lowered):
                return
        raise EngineError(497, f"Not enough privileges: function {name} may not be used here")

    def _check_table(self, name: str) -> None:
        if "." in name and name not in _TABLES:
            raise EngineError(497, f"Not enough privileges: table {name} may not be read here, only events")

    def _check_name(self, connection: Connection, name: str) -> None:
        if name.partition(".")[0].lower() in self._databases:
            raise EngineError(497, f"Not enough privileges: {name} may not be read here, only events")
        if self._virtual is None:
            self._virtual = _read_virtual_columns(connection)
        if not self._virtual.isdisjoint(name.split(".")):
            raise EngineError(497, f"Not enough privileges: column {name} may not be read here")


def _describe(node: str) -> str:
    if node == "Set":
        return "a SETTINGS clause (give settings beside the query)"
    return f"{node}"


def _read_names(connection: Connection, sql: str) -> list[str]:
    return [name for name in connection.run(sql, "TabSeparated").body.decode().split("\n") if name]


def _read_functions(connection: Connection) -> dict[str, bool]:
    """Return the allowed functions by lower-case name; True for aggregates, which take combinators."""
    body = connection.run(
        "SELECT name, is_aggregate, categories, alias_to FROM system.functions WHERE origin = 'System'",
        "JSONCompactEachRow",
    ).body
    rows = [json.loads(line) for line in body.splitlines()]
    allowed = {
        name: bool(aggregate)
        for name, aggregate, categories, alias in rows
        if not alias and _may_call(name, categories, aggregate=bool(aggregate))
    }
    allowed |= {name: allowed[alias] for name, _, _, alias in rows if alias in allowed}
    allowed |= dict.fromkeys(_SINGLE_FUNCTIONS, False)
    refused = {name.lower() for name, *_ in rows} - {name.lower() for name in allowed}
    return {name.lower(): aggregate for name, aggregate in allowed.items() if name.lower() not in refused}


def _may_call(name: str, categories: str, *, aggregate: bool) -> bool:
    if aggregate:
        return name not in _REFUSED_AGGREGATES
    named = set(categories.split(", ")) if categories else set()
    return bool(named) and named <= _CATEGORIES


def _read_virtual_columns(connection: Connection) -> frozenset[str]:
    body = connection.run(f"DESCRIBE TABLE {EVENTS_TABLE}", "JSONCompactEachRow").body
    real = {json.loads(line)[0] for line in body.splitlines()}
    return VIRTUAL_COLUMNS - real
