"""Commands that work on a data folder: keys, projects, people, passwords and backups."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tallymark.catalog.repository import SCOPES, Catalog
from tallymark.errors import TallymarkError
from tallymark.rules.privacy import RULES
from tallymark.server.cli.journal import journal_group
from tallymark.server.cli.serve import ConfigFile, Data
from tallymark.server.config import load_config

console = Console(highlight=False)
keys_group = typer.Typer(help="Keys of projects.", no_args_is_help=True)
projects_group = typer.Typer(help="Projects and their switches.", no_args_is_help=True)
people_group = typer.Typer(help="People who can sign in.", no_args_is_help=True)

Project = Annotated[str, typer.Option(help="The project.")]


def add_commands(application: typer.Typer) -> None:
    """Add this module's commands."""
    application.add_typer(keys_group, name="keys")
    application.add_typer(projects_group, name="projects")
    application.add_typer(people_group, name="people")
    application.add_typer(journal_group, name="journal")
    application.command()(password)
    application.command()(backup)


def _open_catalog(data: str | None, config_file: Path | None) -> Catalog:
    from tallymark.catalog.tables import CATALOG_FILE, open_engine, sqlite_url  # noqa: PLC0415 - slow to load

    config, _ = load_config({"data": data}, file=config_file)
    folder = Path(config.data)
    if not config.catalog_url and not (folder / CATALOG_FILE).exists():
        raise TallymarkError(
            "no_data_folder", f"There is no data folder {folder}. Start the server once, or give --data."
        )
    return Catalog(open_engine(config.catalog_url or sqlite_url(folder)))


@keys_group.command("list")
def list_keys(data: Data = None, config_file: ConfigFile = None) -> None:
    """List all keys; the keys themselves are not stored."""
    table = Table("id", "project", "scope", "name", "key", "made", "revoked", box=None, pad_edge=False)
    for key in _open_catalog(data, config_file).list_keys():
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        table.add_row(
            str(key.id),
            key.project,
            key.scope,
            escape(key.name),
            key.hint,
            f"{key.created_at:%Y-%m-%d %H:%M}",
            revoked,
        )
    console.print(table)


@keys_group.command("create")
def create_key(
    scope: Annotated[str, typer.Argument(help=f"One of {', '.join(SCOPES)}.")],
    project: Project = "default",
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Make a key and print it, for the only time."""
    sys.stdout.write(_open_catalog(data, config_file).create_key(project, scope, name) + "\n")


@keys_group.command("revoke")
def revoke_key(key_id: int, data: Data = None, config_file: ConfigFile = None) -> None:
    """Make a key useless; a running server notices within a second."""
    _open_catalog(data, config_file).revoke_key(key_id)
    console.print(f"key {key_id} is revoked")


@projects_group.command("list")
def list_projects(data: Data = None, config_file: ConfigFile = None) -> None:
    """List all projects with their switches."""
    table = Table("project", "rate limit (events/s)", "privacy rules switched off", box=None, pad_edge=False)
    for project in _open_catalog(data, config_file).list_projects():
        table.add_row(project.name, str(project.rate_limit or "none"), ", ".join(project.privacy_off))
    console.print(table)


@projects_group.command("create")
def create_project(name: str, data: Data = None, config_file: ConfigFile = None) -> None:
    """Make a project and print a write key and a read key for it."""
    catalog = _open_catalog(data, config_file)
    catalog.create_project(name)
    for scope in ("write", "read"):
        sys.stdout.write(f"{scope} key: {catalog.create_key(name, scope)}\n")


@projects_group.command("set")
def change_project(
    name: str,
    rate_limit: Annotated[int | None, typer.Option(help="Events a second; 0 for none.")] = None,
    privacy_off: Annotated[
        str | None,
        typer.Option(
            help=f"Privacy rules to switch off, of {', '.join(RULES)}, with commas; '' switches all on."
        ),
    ] = None,
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Change a project's switches."""
    rules = None if privacy_off is None else [rule.strip() for rule in privacy_off.split(",") if rule.strip()]
    _open_catalog(data, config_file).change_project(name, privacy_off=rules, rate_limit=rate_limit)
    console.print(f"project {name} is changed")


def password(
    person: Annotated[str, typer.Argument(help="Who.")] = "admin",
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Set the password of somebody who exists; all their sessions end."""
    catalog = _open_catalog(data, config_file)
    # Nobody types a password twice to learn that the name was wrong.
    catalog.require_person(person)
    catalog.set_password(person, _ask_password())
    console.print(f"the password of {escape(person)} is set")


def _ask_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("new password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


@people_group.command("list")
def list_people(data: Data = None, config_file: ConfigFile = None) -> None:
    """List everybody who can sign in."""
    table = Table("name", "made", box=None, pad_edge=False)
    for person in _open_catalog(data, config_file).list_people():
        table.add_row(escape(person.name), f"{person.created_at:%Y-%m-%d %H:%M}")
    console.print(table)


@people_group.command("add")
def add_person(
    person: Annotated[str, typer.Argument(help="Who.")],
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Add somebody who can sign in and may do everything; the password is asked, or read from the standard input."""
    _open_catalog(data, config_file).add_person(person, _ask_password())
    console.print(f"{escape(person)} can sign in")


def backup(
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    data: Data = None,
    config_file: ConfigFile = None,
) -> None:
    """Copy the data folder, also while the server runs. To restore, start a server on the copy."""
    from tallymark.server.backup import back_up  # noqa: PLC0415 - slow to load

    config, _ = load_config({"data": data}, file=config_file)
    size = back_up(Path(config.data), target, store=not config.clickhouse_url, catalog=not config.catalog_url)
    console.print(f"{escape(str(target))} holds a copy of {size:,} bytes", soft_wrap=True)
    for name, elsewhere in (("store", config.clickhouse_url), ("catalog", config.catalog_url)):
        if elsewhere:
            console.print(f"[yellow]without[/] the {name}: it is not in the data folder", soft_wrap=True)
