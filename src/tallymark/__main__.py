"""The `tallymark` command, also where only the client is installed: then it says how to get the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what is missing for it."""
    try:
        from tallymark.server.cli import main as run  # noqa: PLC0415 - it needs what the client does not
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tallymark"):
            raise
        sys.exit(
            f"This is the client alone ({error.name} is missing). For the server: pip install 'tallymark[server]'"
        )
    run()


if __name__ == "__main__":
    main()
