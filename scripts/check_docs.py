"""Fail when the docs and the code disagree: dead links, codes, settings or rooms that no page names.

What the docs' commands and examples do is tested in tests/docs; this reads text only and takes a second.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tallymark.errors import CLIENT_DROP_REASONS, DROP_REASONS, EVENT_CODES, REMOVAL_REASONS, REQUEST_CODES
from tallymark.rules.privacy import RULES
from tallymark.server.config import Config

ROOT = Path(__file__).parent.parent
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)|!\[[^\]]*\]\(([^)\s]+)\)")


def find_dead_links() -> list[str]:
    """Return links of the docs that lead to no file."""
    found = []
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for match in _LINK.finditer(page.read_text(encoding="utf-8")):
            target = match[1] or match[3]
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (page.parent / target).exists():
                found.append(f"{page.relative_to(ROOT)}: the link {target} leads nowhere")
    return found


def find_undocumented() -> list[str]:
    """Return codes, settings and rules that their page does not name."""
    wanted = {
        "docs/codes.md": [
            *EVENT_CODES,
            *REQUEST_CODES,
            *DROP_REASONS,
            *REMOVAL_REASONS,
            *CLIENT_DROP_REASONS,
        ],
        "docs/operations.md": list(Config.__struct_fields__),
        "docs/privacy.md": list(RULES),
        "docs/architecture.md": [
            path.name for path in (ROOT / "src/tallymark").iterdir() if (path / "__init__.py").exists()
        ],
    }
    found = []
    for page, names in wanted.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        found += [
            f"{page} does not name `{name}`"
            for name in names
            if f"`{name}`" not in text and f"`{name}/`" not in text
        ]
    return found


def main() -> int:
    """Print what is wrong; 1 when something is."""
    found = [*find_dead_links(), *find_undocumented()]
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
