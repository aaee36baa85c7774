"""The `tallymark` command: one module per group of subcommands, joined here.

Commands that ask something talk to a running server over HTTP, like everybody else; `serve`, `keys`,
`password` and `journal` work on a data folder.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from tallymark.errors import TallymarkError
from tallymark.server.cli import ask, folder, serve

application = typer.Typer(
    name="tallymark",
    help="Self-hosted metrics platform in which every event is accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (serve, ask, folder):
    module.add_commands(application)


def main() -> None:
    """Run the command line; errors that the user can act on are one line, without a traceback."""
    try:
        application()
    except TallymarkError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]error[/] {error}", soft_wrap=True)
        sys.exit(1)
