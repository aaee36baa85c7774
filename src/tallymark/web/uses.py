"""Who asks which metric or dashboard, added up in memory and written to the catalog every few seconds.

What was noted in the last seconds before a crash is lost: this answers which metrics nobody looks at, not more.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tallymark.catalog.definitions import Definitions
from tallymark.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger("tallymark.web")

_WRITE_SECONDS = 5.0


@dataclass(slots=True)
class Uses:
    """Counts by project, kind, name and who. `note` may be called from any thread."""

    definitions: Definitions
    clock: Clock = SYSTEM_CLOCK
    _noted: dict[str, Counter[tuple[str, str, str]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, project: str, kind: str, name: str, who: str) -> None:
        """Count one look."""
        with self._lock:
            self._noted.setdefault(project, Counter())[kind, name[:64], who[:128]] += 1

    def write(self) -> None:
        """Write what was noted; blocking."""
        with self._lock:
            noted, self._noted = self._noted, {}
        for project, asked in noted.items():
            try:
                self.definitions.note_asked(project, dict(asked), self.clock.now())
            except SQLAlchemyError as error:
                log.warning("uses_not_written", project=project, error=str(error), fix="check the catalog")

    async def keep_writing(self) -> None:
        """Write every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            if self._noted:
                await asyncio.to_thread(self.write)
