"""How many bytes of answers wait for their readers: together, and for each project. Past a bound an answer is not given.

Each answer takes its bytes while it is under way. The owner is a project, or an address where no project is known.
"""

from __future__ import annotations

from collections import Counter

from tallymark.server.http.bounds import Bounds


class AnswerBudget:
    """Bytes that are held for readers at this moment."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._by_owner: Counter[str] = Counter()
        self.bytes = 0

    def take(self, owner: str, size: int) -> bool:
        """Hold `size` bytes for `owner`; False, without effect, where that is too much.

        An owner that holds nothing may have one answer of any size as long as the whole has room for it.
        """
        bounds, held = self._bounds, self._by_owner[owner]
        if (held and held + size > bounds.owner_bytes) or (
            self.bytes and self.bytes + size > bounds.answer_bytes
        ):
            return False
        self._by_owner[owner] = held + size
        self.bytes += size
        return True

    def give_back(self, owner: str, size: int) -> None:
        """Let go of what was taken."""
        self.bytes -= size
        left = self._by_owner[owner] - size
        if left > 0:
            self._by_owner[owner] = left
        else:
            del self._by_owner[owner]
