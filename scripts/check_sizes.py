"""Fail when a file or a function has outgrown what a reader takes in: 500 lines a file, 50 a function."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FILE_LINES = 500
FUNCTION_LINES = 50


def find_long(path: Path) -> list[str]:
    """Return a sentence for every size that is over the limit in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n") + 1
    found = [f"{path}: {lines} lines, {FILE_LINES} are allowed"] if lines > FILE_LINES else []
    if path.suffix != ".py":
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Functions that only hold other functions (routes, commands) are as long as what they hold.
            inner = sum(
                _length(item)
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            size = _length(node) - inner
            if size > FUNCTION_LINES:
                found.append(
                    f"{path}:{node.lineno}: {node.name} has {size} lines, {FUNCTION_LINES} are allowed"
                )
    return found


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    """Check the tracked and new files of src, demo, bench and scripts."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "src", "demo", "bench", "scripts"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    names = [Path(name) for name in listed if name.endswith((".py", ".js", ".css", ".html"))]
    found = [sentence for path in names if path.exists() for sentence in find_long(path)]
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
