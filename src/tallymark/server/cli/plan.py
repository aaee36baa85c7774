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
_KEY_NEEDED: Final = (
    "apply needs an admin key in TALLYMARK_ADMIN_KEY. Make one where the server's data folder is: "
    "tallymark keys create admin --data DIR"
)


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
    if apply and not key:
        raise TallymarkError("unauthorized", f"There is no key. {_KEY_NEEDED}")
    files = read_folder(folder)
    order = {"files": files, "origin": origin, "apply": apply}
    try:
        answer = msgspec.json.decode(request(url, key, "POST", "/v1/plan", msgspec.json.encode(order)))
    except TallymarkError as error:
        if apply and error.code in ("unauthorized", "forbidden"):
            raise TallymarkError(error.code, f"{error.message} {_KEY_NEEDED}", at=error.at) from error
        raise
    problems = answer["plan"]["problems"]
    for problem in problems:
        place = f"{problem['file']}:{problem['line']}:{problem['column']}"
        path = f" ({problem['path']})" if problem["path"] else ""
        console.print(f"[red]{escape(place)}[/] {escape(problem['message'])}{escape(path)}")
    _show_changes(answer["plan"]["changes"], problems, _find_mistaken(files, problems))
    for note in answer.get("notes", ()):
        console.print(f"[yellow]![/] {escape(note)}")
    if problems:
        if apply:
            console.print("Nothing was applied.")
        raise typer.Exit(1)
    if apply:
        console.print("Applied." if answer["applied"] else "Nothing was applied.")


def _show_changes(
    changes: list[dict[str, Any]], problems: list[dict[str, Any]], mistaken: set[tuple[str, ...]]
) -> None:
    """Print what would change; what has mistakes is neither listed nor counted, it is told with its mistake."""
    same = shown = 0
    for change in changes:
        if {(change["file"],), (change["kind"], change["name"])} & mistaken:
            continue
        if change["action"] == "none":
            same += 1
            continue
        shown += 1
        fields = f": {', '.join(change['fields'])}" if change["fields"] else ""
        text = f"{change['action']} {change['kind']} {change['name']}{fields}"
        console.print(f"{_SIGNS[change['action']]} {escape(text)} [dim]{escape(change['file'])}[/]")
    count = len(problems)
    wrong = f"; {count} mistake{'s' if count > 1 else ''}" if count else ""
    console.print(f"{shown} to change, {same} as they are{wrong}.")


def _find_mistaken(files: list[dict[str, str]], problems: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Return what has mistakes: (kind, name) of objects, (file,) of files that could not be read as a whole.

    An object that cannot be read is not among those of the plan: one of its name would seem to be removed.
    """
    from tallymark.plan.kinds import BY_PLURAL  # noqa: PLC0415 - slow to load, and seldom needed
    from tallymark.plan.yaml_text import Document, parse_path, parse_yaml  # noqa: PLC0415

    texts = {file["name"]: file["text"] for file in files}
    documents: dict[str, Document] = {}
    mistaken: set[tuple[str, ...]] = set()
    for problem in problems:
        name, path = problem["file"], parse_path(problem["path"])
        if not path or name not in texts:
            mistaken.add((name,))
            continue
        if name not in documents:
            documents[name] = parse_yaml(texts[name])
        document = documents[name]
        if path == ("name",):
            # Whose name it is stands in the line and column alone.
            at = (problem["line"], problem["column"])
            path = next(
                (path for path, place in document.places.items() if place == at and len(path) > 2), path
            )
        if len(path) < 2 or path[0] not in BY_PLURAL:
            mistaken.add((name,))
            continue
        one = document.value[path[0]][path[1]]
        if isinstance(one, dict):
            mistaken.add((BY_PLURAL[str(path[0])].name, str(one.get("name"))))
    return mistaken


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
