"""Telling people: a message goes to an address in apprise's form, and one sentence says what came of it.

Comes in: addresses such as mailto:// or jsons://, and messages, from any thread. Goes out: '' or why it did not arrive.
The code of over a hundred services talks to outsiders, so it runs in processes of their own (`outlet_process`) that may hang,
grow or fall there; this process never loads it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any, Final, Literal, cast

import msgspec

from tallymark.alerts.inward import parse_opening

# The name of the picture inside a message: HTML shows it with <img src="cid:chart.png">.
PICTURE_NAME: Final = "chart.png"

_START_SECONDS: Final = 60.0
_IDLE_SECONDS = 300.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What people are told. `text` is plain and reads well alone; `html` says the same for places that show HTML.

    `key` is the same for all messages of one incident, `id` is the same when this message is sent again. `picture` is a PNG,
    `facts` are JSON values that a webhook gets beside the text.
    """

    title: str
    text: str
    html: str = ""
    picture: bytes = b""
    key: str
    id: str
    kind: Literal["trouble", "over", "test"]
    facts: dict[str, Any] = {}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a sending process is to do, one line of JSON on its standard input."""

    do: Literal["send", "check", "hide", "probe"]
    url: str
    seconds: float
    message: Message | None = None


class Answer(msgspec.Struct, frozen=True):
    """What it answers, one line of JSON. `done` is false where nothing was answered and `text` says why.

    `warning` is what stands in the way of an address that is well formed, and may pass.
    """

    text: str
    done: bool = True
    warning: str = ""


class Outlets:
    """Up to `most` processes that send, started when they are needed. Each sends one message at a time.

    `allowed` are the networks on the inside that may be told: CIDR or address, with a port or for every port; raises ValueError
    for what is neither. A receiver that does not answer in `seconds` did not get the message.
    """

    def __init__(self, allowed: Sequence[str] = (), *, most: int = 4, seconds: float = 15.0) -> None:
        for text in allowed:
            parse_opening(text)
        self._allowed = tuple(allowed)
        self._seconds = seconds
        self._turns = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._closed = False
        self._tidying: threading.Timer | None = None

    def send(self, url: str, message: Message) -> str:
        """Send and wait; returns '' once the receiver took it, else one sentence why not. Never raises, never tells secrets."""
        return self.ask("send", url, message).text

    def check(self, url: str) -> str:
        """Return '' for an address that can be told, else what is wrong with it and what is allowed. Never tells secrets."""
        answer = self.ask("check", url)
        return answer.text if answer.done else f"The receiver's address could not be checked. {answer.text}"

    def probe(self, url: str) -> Answer:
        """Look whether an address could be told, without telling it: its text is '' where it could, or what will never do.

        The warning says what may pass, such as a name that is not found now. Never tells secrets.
        """
        answer = self.ask("probe", url)
        if answer.done:
            return answer
        return Answer("", warning=f"Whether it can be reached was not found out. {answer.text}")

    def hide_secrets(self, url: str) -> str:
        """Return what of an address may be shown."""
        answer = self.ask("hide", url)
        if answer.done:
            return answer.text
        service = re.match(r"[a-z0-9]{1,32}(?=://)", url.lower())
        return f"{service.group()}://****" if service else "****"

    def ask(
        self, do: Literal["send", "check", "hide", "probe"], url: str, message: Message | None = None
    ) -> Answer:
        """Have a process do one thing; when it cannot, the answer is not done and says why."""
        order = Order(do=do, url=url, seconds=self._seconds, message=message)
        try:
            line = msgspec.json.encode(order) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            return Answer(f"The message cannot be written as JSON ({type(error).__name__}).", done=False)
        try:
            with self._turns:
                child = self._take()
                try:
                    answer = child.ask(line, self._seconds)
                finally:
                    # Whatever went wrong, such as no room for another thread, a process that was asked nothing is kept or ended.
                    self._give_back(child)
        except (OSError, RuntimeError) as error:
            return Answer(f"The process that sends messages could not be started: {error}.", done=False)
        if answer is None:
            return Answer(f"The receiver did not answer in {self._seconds:g} s.", done=False)
        try:
            return msgspec.json.decode(answer, type=Answer)
        except msgspec.DecodeError:
            told = " Whether the message arrived is not known." if do == "send" else ""
            return Answer(f"The process that sends messages ended before it answered.{told}", done=False)

    def close(self) -> None:
        """End all processes, also those that are sending."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._children.difference(idle)
            self._children.clear()
            tidying, self._tidying = self._tidying, None
        if tidying is not None:
            tidying.cancel()
        for child in idle:
            child.discard()
        for child in busy:
            # Whoever waits for it sees that it is gone, and clears away what is left.
            child.kill()

    def _take(self) -> _Child:
        """Return a process that waits for an order, a new one if need be; raises OSError or RuntimeError."""
        self._tidy()
        with self._lock:
            found = self._idle.pop() if self._idle else None
        return found or self._start()

    def _tidy_later(self) -> None:
        """Look again when those that have nothing to do are to end, so that none stays as a dead entry of the system."""
        with self._lock:
            if self._tidying is not None or not self._idle or self._closed:
                return
            self._tidying = threading.Timer(_IDLE_SECONDS / 2 + 1, self._tidy_now)
            self._tidying.daemon = True
            try:
                self._tidying.start()
            except RuntimeError:
                # There is no room for a thread: the next message clears up.
                self._tidying = None

    def _tidy_now(self) -> None:
        with self._lock:
            self._tidying = None
        self._tidy()
        self._tidy_later()

    def _tidy(self) -> None:
        """End processes that had nothing to do for long, and clear away what is left of those that ended."""
        with self._lock:
            spent = [child for child in self._idle if not child.is_fresh()]
            self._idle = [child for child in self._idle if child not in spent]
            self._children.difference_update(spent)
        for child in spent:
            child.discard()

    def _start(self) -> _Child:
        with self._lock:
            if self._closed:
                raise RuntimeError("nothing is sent any more")
            child = _Child(self._allowed)
            self._children.add(child)
        ready: bytes | None = None
        try:
            # It says that it is ready: how long it takes to start is not the receiver's fault.
            ready = child.ask(b"", _START_SECONDS)
        finally:
            if not ready:
                self._forget(child)
        if not ready:
            raise RuntimeError("it ended, or took too long, before it was ready")
        return child

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            kept = child in self._children and child.is_fresh()
            if kept:
                self._idle.append(child)
        if not kept:
            self._forget(child)
        self._tidy_later()

    def _forget(self, child: _Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.discard()


class _Child:
    """One sending process. It ends by itself when this process is gone, or when nothing was asked for some minutes."""

    def __init__(self, allowed: Sequence[str]) -> None:
        # It outlives what we call idle by far, so it never ends just when it is asked something.
        command = [
            "-m",
            "tallymark.alerts.outlet_process",
            str(os.getpid()),
            str(_IDLE_SECONDS * 2),
            *allowed,
        ]
        # Whatever libraries print may hold secrets: it goes nowhere.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._used = time.monotonic()
        self._spent = False

    def is_fresh(self) -> bool:
        """Return whether it can take an order."""
        if self._spent or self._process.poll() is not None:
            return False
        # Long before it ends by itself: it must not do that just when it is asked something.
        return time.monotonic() - self._used < _IDLE_SECONDS / 2

    def ask(self, line: bytes, seconds: float) -> bytes | None:
        """Return the line that it answers, b'' when it ended instead, None when it took too long and was ended for that."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        answer = b""
        try:
            self._stdin.write(line)
            self._stdin.flush()
            answer = self._stdout.readline()
        except OSError:
            pass
        finally:
            timer.cancel()
            # From here on nobody ends it for being late.
            timer.join()
        self._used = time.monotonic()
        whole = answer.endswith(b"\n")
        self._spent = late.is_set() or not whole
        if whole:
            return answer
        return None if late.is_set() else b""

    def kill(self) -> None:
        self._process.kill()

    def discard(self) -> None:
        """End it and clear away what is left."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            # What was not written any more is not missed.
            with contextlib.suppress(OSError):
                pipe.close()
