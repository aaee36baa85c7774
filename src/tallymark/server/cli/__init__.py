"""The `tallymark` command: one module per group of subcommands, joined here.

Commands that ask something talk to a running server over HTTP, like everybody else; `serve`, `keys`,
`projects`, `people`, `password`, `backup` and `journal` work on a data folder.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tallymark import __version__
from tallymark.errors import TallymarkError
from tallymark.server.cli import alerts, ask, folder, plan, serve

application = typer.Typer(
    name="tallymark",
    help="Self-hosted metrics platform in which every event is accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tallymark {__version__}")
        raise typer.Exit


@application.callback()
def _begin(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    pass


for module in (serve, ask, plan, folder, alerts):
    module.add_commands(application)


def main() -> None:
    """Run the command line; errors that the user can act on are one line, without a traceback.

    Exit codes of errors: 2 where a command answers by 1 (`ledger`, `trace`) or was not understood, else 1.
    """
    try:
        application()
    except TallymarkError as error:
        Console(stderr=True, highlight=False).print(
            f"[bold red]error[/] {escape(str(error))}", soft_wrap=True
        )
        sys.exit(2 if isinstance(error, ask.NoAnswer) else 1)
