"""Which colour a thing has in every chart of a project: a number per field and value, in the order of first sight.

Values are kept as digests only, so that nothing of a person stays here when their events are gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import COLOUR

_DIGEST_BYTES = 16
# Of one field. Those that come later get a number from their digest.
MOST_VALUES = 64


class Colours:
    """The numbers of all projects. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list(self, project: str) -> dict[str, int]:
        """Return all numbers of a project by `digest_meaning`."""
        question = sa.select(COLOUR.c.meaning, COLOUR.c.slot).where(COLOUR.c.project == project)
        with self._catalog.engine.connect() as connection:
            return {row.meaning: row.slot for row in connection.execute(question)}

    def add(self, project: str, field: str, values: Sequence[str]) -> dict[str, int]:
        """Give a number to each value that has none, after those that the field has; return all of the project's."""
        counter = digest_meaning(field)
        with self._catalog.begin_write() as connection:
            question = sa.select(COLOUR.c.meaning, COLOUR.c.slot).where(COLOUR.c.project == project)
            known = {row.meaning: row.slot for row in connection.execute(question)}
            used = known.get(counter, 0)
            new = [one for value in values if (one := digest_meaning(field, value)) not in known]
            rows = {meaning: used + place for place, meaning in enumerate(new) if used + place < MOST_VALUES}
            if rows:
                if counter in known:
                    own = (COLOUR.c.project == project) & (COLOUR.c.meaning == counter)
                    connection.execute(sa.update(COLOUR).where(own).values(slot=used + len(rows)))
                    known[counter] = used + len(rows)
                else:
                    rows[counter] = len(rows)
                made = [{"project": project, "meaning": one, "slot": slot} for one, slot in rows.items()]
                connection.execute(sa.insert(COLOUR), made)
        return known | rows


def digest_meaning(field: str, value: str | None = None) -> str:
    """Return 32 hexadecimal digits for a field's value; without a value, for the field."""
    parts = [field] if value is None else [field, value]
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
