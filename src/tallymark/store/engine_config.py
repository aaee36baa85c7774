"""The embedded engine's configuration: memory, caches and background work sized for a small machine, and who may read.

Comes in: folders and a memory limit in bytes. Goes out: the two XML texts that `engine.Engine` opens chDB with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

# The row filter reads this setting: "NAME\nQUERY-ID" on a connection of project NAME, "*\nQUERY-ID" on an
# internal one. The engine has no settings of our own making, and a query log, whose comment it is, is off.
SCOPE_SETTING: Final = "log_comment"
INTERNAL_SCOPE: Final = "*"
INTERNAL_ROLE: Final = "internal"
VISITOR_ROLE: Final = "visitor"

_SCOPE = f"substringIndex(getSetting('{SCOPE_SETTING}'), char(10), 1)"
# Unset matches no project, so nothing is seen. The internal scope also needs the role, which no visitor has.
ROW_FILTER: Final = (
    f"project = {_SCOPE} OR ({_SCOPE} = '{INTERNAL_SCOPE}' AND has(currentRoles(), '{INTERNAL_ROLE}'))"
)

_MEBIBYTE: Final = 1024 * 1024

_SERVER_SETTINGS: Final = {
    "mark_cache_size": 64 * _MEBIBYTE,
    "index_mark_cache_size": 16 * _MEBIBYTE,
    "primary_index_cache_size": 64 * _MEBIBYTE,
    "uncompressed_cache_size": 0,
    "index_uncompressed_cache_size": 0,
    "compiled_expression_cache_size": 16 * _MEBIBYTE,
    "query_condition_cache_size": 16 * _MEBIBYTE,
    "vector_similarity_index_cache_size": 0,
    "text_index_tokens_cache_size": _MEBIBYTE,
    "text_index_header_cache_size": _MEBIBYTE,
    "text_index_postings_cache_size": _MEBIBYTE,
    "iceberg_metadata_files_cache_size": 0,
    "parquet_metadata_cache_size": 8 * _MEBIBYTE,
    "mmap_cache_size": 64,
    "background_pool_size": 2,
    "background_merges_mutations_concurrency_ratio": 1,
    "background_schedule_pool_size": 2,
    "background_common_pool_size": 1,
    "background_move_pool_size": 1,
    "background_fetches_pool_size": 1,
    "max_thread_pool_size": 256,
    "max_thread_pool_free_size": 8,
    "max_io_thread_pool_size": 16,
    "max_parts_cleaning_thread_pool_size": 2,
    "max_active_parts_loading_thread_pool_size": 4,
    "max_outdated_parts_loading_thread_pool_size": 2,
    "max_unexpected_parts_loading_thread_pool_size": 2,
}

_VISITOR_GRANTS: Final = ("GRANT SELECT ON tallymark.events",)


def render_config(users_file: Path, memory_limit_bytes: int) -> str:
    """Return the server's configuration as XML."""
    settings = {
        **_SERVER_SETTINGS,
        # Told to everybody who asks; without it that is the machine's name.
        "display_name": "tallymark",
        "max_server_memory_usage": memory_limit_bytes,
        "merges_mutations_memory_usage_soft_limit": memory_limit_bytes // 2,
    }
    lines = [f"    <{name}>{value}</{name}>" for name, value in settings.items()]
    return "\n".join(
        [
            "<clickhouse>",
            f"    <users_config>{escape(str(users_file))}</users_config>",
            *lines,
            "</clickhouse>",
            "",
        ]
    )


def render_users() -> str:
    """Return the one user, its two roles and the row filter as XML.

    The embedded engine knows a single user. The rights hang on roles: a connection for visitors gives the internal
    one away when it is made, before any text from outside reaches it.
    """
    grants = "".join(f"<query>{escape(grant)}</query>" for grant in _VISITOR_GRANTS)
    return f"""<clickhouse>
    <profiles><default></default></profiles>
    <quotas><default></default></quotas>
    <roles>
        <{INTERNAL_ROLE}><grants><query>GRANT ALL ON *.*</query></grants></{INTERNAL_ROLE}>
        <{VISITOR_ROLE}><grants>{grants}</grants></{VISITOR_ROLE}>
    </roles>
    <users><default>
        <password></password>
        <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
        <profile>default</profile>
        <quota>default</quota>
        <grants><query>GRANT {INTERNAL_ROLE}</query><query>GRANT {VISITOR_ROLE}</query></grants>
        <databases><tallymark><events><filter>{escape(ROW_FILTER)}</filter></events></tallymark></databases>
    </default></users>
</clickhouse>
"""
