"""The journal against a simulated disk that loses, zeroes and reorders what was not synced when the power goes.

The model is the list of what was acknowledged. Files are real; a power cut is played by writing the shard's
files anew as such a disk would leave them.
"""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallymark.journal.reader import SegmentReader
from tallymark.journal.verify import verify_shard

SECTOR = 128


class ForgetfulDisk:
    """Remembers of each file what a sync has made safe; can fail a sync, and then forgets what it was for."""

    def __init__(self) -> None:
        self.safe: dict[str, bytes] = {}
        self.failing = False

    def sync(self, descriptor: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, "the disk has failed")
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.safe[path.name] = path.read_bytes()

    def cut_power(self, old: Path, new: Path, dice: random.Random) -> None:
        """Leave in `new` what a disk might hold of `old` after the power went."""
        new.mkdir()
        for path in sorted(old.glob("segment-*.log")):
            safe, seen = self.safe.get(path.name), path.read_bytes()
            if safe is None:
                # A file whose making was not synced may be gone.
                if dice.random() < 0.5:
                    continue
                safe = b""
            kept = bytearray(safe)
            if seen.startswith(safe):
                kept += self._spoil(seen[len(safe) :], dice)
            (new / path.name).write_bytes(kept)
        end = dice.randint(0, int.from_bytes((old / "durable-end").read_bytes(), "little"))
        if dice.random() < 0.8:
            (new / "durable-end").write_bytes(end.to_bytes(8, "little"))

    @staticmethod
    def _spoil(unsafe: bytes, dice: random.Random) -> bytes:
        """Keep any of the sectors, in any state, up to any length."""
        sectors = [unsafe[at : at + SECTOR] for at in range(0, len(unsafe), SECTOR)]
        states = [
            dice.choice((sector, bytes(len(sector)), dice.randbytes(len(sector)))) for sector in sectors
        ]
        return b"".join(states[: dice.randint(0, len(states))])


class JournalModel(RuleBasedStateMachine):
    make_shard = None

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.disk = ForgetfulDisk()
        self.acknowledged: list[int] = []
        self.refused: set[int] = set()
        self.released: set[int] = set()
        self.lives = 0
        self.shard = self.make_shard(self.place / "shard-0")
        self.reader = SegmentReader(self.shard.folder)
        self.followed: list[int] = []

    @initialize(segment_bytes=st.sampled_from([200, 2000, 100_000]))
    def begin(self, segment_bytes):
        self.shard.options = {"segment_bytes": segment_bytes, "sync": self.disk.sync}
        self.shard.open()

    @rule(count=st.integers(1, 8), size=st.integers(0, 600))
    def append(self, count, size):
        first = self.shard.made
        for place, refusal in enumerate(self.shard.append(count, size)):
            if refusal is None:
                self.acknowledged.append(first + place)
            else:
                self.refused.add(first + place)

    @rule(count=st.integers(1, 4))
    def append_while_the_disk_fails(self, count):
        self.disk.failing = True
        first = self.shard.made
        assert None not in self.shard.append(count)
        self.refused |= set(range(first, first + count))
        self.disk.failing = False

    @rule()
    def restart(self):
        self.shard.close()
        self.shard.open()

    @rule(seed=st.integers(0, 2**32))
    def cut_power(self, seed):
        self._move(lambda old, new: self.disk.cut_power(old, new, random.Random(seed)))
        # What was written and not acknowledged may be there or not.
        self.refused = set()

    @rule()
    def kill(self):
        self._move(shutil.copytree)

    @rule()
    def release(self):
        numbers = self.shard.numbers()
        if not numbers:
            return
        contents = self.shard.contents()
        middle = numbers[len(numbers) // 2]
        self.reader.release(self.reader.find_releasable(middle, 2**62))
        kept = self.shard.contents()
        assert contents[len(contents) - len(kept) :] == kept, "a hole"
        assert self.shard.numbers()[0] <= middle
        self.released |= set(contents) - set(kept)

    @rule()
    def follow(self):
        """Read on where this reader was: it sees each record at most once, in order."""
        number = self.followed[-1] + 1 if self.followed else 0
        self.followed += [record.number for record in self.reader.read_from(number, 2000)]
        assert self.followed == sorted(set(self.followed))

    @invariant()
    def acknowledged_records_are_read(self):
        if self.shard.writer is None:
            return
        contents = self.shard.contents()
        assert contents == sorted(set(contents))
        missing = set(self.acknowledged) - set(contents) - self.released
        assert not missing, f"lost: {sorted(missing)}"
        assert not self.refused & set(contents), "refused, and still there"
        report = verify_shard(self.shard.folder, self.shard.writer.durable_number)
        assert report.records == len(contents)

    def _move(self, leave) -> None:
        """End this life without warning; the next one begins with what `leave` put into a new folder."""
        old = self.shard
        self.lives += 1
        new = self.make_shard(self.place / f"shard-{self.lives}", old.options, old.loop, made=old.made)
        leave(old.folder, new.folder)
        old.close()
        self.reader.close()
        self.reader = SegmentReader(new.folder)
        self.followed = []
        self.shard = new
        self.shard.open()
        self.disk.safe = {path.name: path.read_bytes() for path in new.folder.glob("segment-*.log")}

    def teardown(self):
        self.reader.close()
        self.shard.close()
        self.shard.loop.close()
        shutil.rmtree(self.place)


def test_journal_keeps_what_it_acknowledged(make_shard):
    """Whatever the disk forgets, acknowledged records are read in order and what was refused is not."""
    machine = type("Machine", (JournalModel,), {"make_shard": staticmethod(make_shard)})
    calm = settings(
        max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine.TestCase.settings = calm
    machine.TestCase("runTest").runTest()
