"""Commands for definitions in files: plan, apply, export. They ask a running server; apply needs an admin key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from tallymark.errors import TallymarkError
from tallymark.server.cli.ask import DEFAULT_URL, Key, Url, request

console = Console(highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="Folder of YAML files, or one file.")]
Origin = Annotated[
    str, typer.Option("--origin", help="Name of this set of files; what it no longer holds is removed.")
]
AdminKey = Annotated[
    str, typer.Option("--key", envvar="TALLYMARK_ADMIN_KEY", help="An admin key of the project.")
]
_SIGNS: Final = {
    "create": "[green]+[/]",
    "update": "[yellow]~[/]",
    "take over": "[yellow]~[/]",
    "remove": "[red]-[/]",
}
_SUFFIXES: Final = (".yaml", ".yml")


def add_commands(application: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (plan, apply, export):
        application.command()(command)


def plan(folder: Folder, origin: Origin = "files", url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show what applying a folder of definitions would change."""
    _send(folder, origin, url, key, apply=False)


def apply(folder: Folder, origin: Origin = "files", url: Url = DEFAULT_URL, key: AdminKey = "") -> None:
    """Make the project's definitions what the folder's files say: all of it, or nothing when one has a mistake."""
    _send(folder, origin, url, key, apply=True)


def export(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to write to; without it, to the screen.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Write all definitions as YAML files. Files that are there already are not replaced."""
    files = msgspec.json.decode(request(url, key, "GET", "/v1/plan/export"))["files"]
    for file in files:
        if folder is None:
            typer.echo(f"# {file['name']}\n{file['text']}---")
            continue
        path = folder / file["name"]
        if path.exists():
            raise TallymarkError("file_exists", f"{path} exists already. Give an empty folder.")
    for file in files if folder is not None else ():
        path = folder / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], encoding="utf-8")
        console.print(escape(str(path)))


def _send(folder: Path, origin: str, url: str, key: str, *, apply: bool) -> None:
    order = {"files": read_folder(folder), "origin": origin, "apply": apply}
    answer = msgspec.json.decode(request(url, key, "POST", "/v1/plan", msgspec.json.encode(order)))
    for problem in answer["plan"]["problems"]:
        place = f"{problem['file']}:{problem['line']}:{problem['column']}"
        path = f" ({problem['path']})" if problem["path"] else ""
        console.print(f"[red]{escape(place)}[/] {escape(problem['message'])}{escape(path)}")
    _show_changes(answer["plan"]["changes"])
    if answer["plan"]["problems"]:
        raise typer.Exit(1)
    if apply:
        console.print("Applied." if answer["applied"] else "Nothing was applied.")


def _show_changes(changes: list[dict[str, Any]]) -> None:
    same = 0
    for change in changes:
        if change["action"] == "none":
            same += 1
            continue
        fields = f": {', '.join(change['fields'])}" if change["fields"] else ""
        text = f"{change['action']} {change['kind']} {change['name']}{fields}"
        console.print(f"{_SIGNS[change['action']]} {escape(text)} [dim]{escape(change['file'])}[/]")
    console.print(f"{len(changes) - same} to change, {same} as they are.")


def read_folder(folder: Path) -> list[dict[str, str]]:
    """Return the YAML files of a folder and below it, by name; raises TallymarkError."""
    if folder.is_file():
        paths, root = [folder], folder.parent
    elif folder.is_dir():
        paths, root = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES), folder
    else:
        raise TallymarkError("no_such_folder", f"There is no folder {folder}.")
    if not paths:
        raise TallymarkError("no_files", f"There is no .yaml file in {folder}.")
    files = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TallymarkError("unreadable_file", f"{path} cannot be read: {error}.") from error
        files.append({"name": path.relative_to(root).as_posix(), "text": text})
    return files
