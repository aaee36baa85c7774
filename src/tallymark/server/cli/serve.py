"""`tallymark serve` and `tallymark config`: starting the server and showing its settings."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tallymark.server.config import MEANINGS, Config, find_strange_variables, load_config

console = Console(highlight=False)

Data = Annotated[str | None, typer.Option("--data", help="Data folder.", show_default="data")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file.", show_default="tallymark.toml")
]


def add_commands(application: typer.Typer) -> None:
    """Add this module's commands."""
    application.command()(serve)
    application.command()(config)


def serve(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8600")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as NAME=VALUE; see 'tallymark config'."),
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Start the server: intake, store, loader and pages."""
    from tallymark.server.first_start import check_address, check_own_project, hold_folder, prepare_catalog  # noqa: PLC0415 - slow to load, and not needed by other commands
    from tallymark.server.logs import set_up_logs  # noqa: PLC0415 - the same
    from tallymark.server.supervisor import Supervisor  # noqa: PLC0415 - the same

    flags = read_flags({"data": data, "host": host, "port": port}, settings)
    loaded, sources = load_config(flags, file=config_file)
    set_up_logs(loaded.log_format, loaded.log_level, "serve")
    for name in find_strange_variables(os.environ):
        structlog.get_logger("tallymark").warning(
            "variable_means_nothing", variable=name, fix="'tallymark config' lists what there is"
        )
    with hold_folder(loaded):
        check_address(loaded)
        catalog, made = prepare_catalog(loaded, os.environ)
        for scope, key in made.keys.items():
            console.print(f"{scope} key of project 'default' (shown once): [bold]{key}[/]", soft_wrap=True)
        if made.password:
            console.print(f"password of 'admin' (shown once): [bold]{made.password}[/]", soft_wrap=True)
        # After what is shown once: a start that ends here was the first one all the same.
        check_own_project(loaded, catalog, sources["own_project"])
        catalog.engine.dispose()
        supervisor = Supervisor(loaded)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        code = supervisor.run(
            lambda url: console.print(
                f"tallymark serves at [bold]{loaded.public_url or url}[/]", soft_wrap=True
            )
        )
    raise typer.Exit(code)


def config(
    data: Data = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting, as NAME=VALUE.")] = None,
    config_file: ConfigFile = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show every setting, its value, where that came from and what it means."""
    loaded, sources = load_config(read_flags({"data": data}, settings), file=config_file)
    if json:
        typer.echo(msgspec.json.encode(loaded).decode())
        return
    table = Table("setting", "value", "from", "meaning", box=None, pad_edge=False)
    for name in Config.__struct_fields__:
        table.add_row(name, escape(str(getattr(loaded, name))), sources[name], MEANINGS[name])
    console.print(table)


def read_flags(given: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """Join named flags with `--set NAME=VALUE`."""
    flags = dict(given)
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting!r} is not NAME=VALUE", param_hint="--set")
        flags[name.strip()] = value.strip()
    return flags
