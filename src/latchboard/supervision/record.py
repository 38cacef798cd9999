"""Record: what is wanted, what runs, and the bell that makes the supervisor look; files beside the singletons'.

Law 1. What is wanted is written by commands, in their turn; what runs, by the supervisor alone.
Law 2. A file that cannot be read says nothing: nothing is wanted, nothing is known.
Law 3. A bell that is lost costs time, never correctness: the supervisor looks by itself every few seconds.

Protocol: protocol/supervision.md, "Files".
"""

from __future__ import annotations

import os
import stat

from latchboard.daemon.state import RecordFile
from latchboard.host.registry import FOLDER
from latchboard.rules import supervision as rules

WANTED, STATE, TURN, BELL, LOG = "agents.wanted", "agents.state", "agents.turn", "agents.bell", "agents.log"
"""Names in the registry. None of them can be the entry of an agent type, which end in lock, pid or json."""
# For reading and writing, also to ring: a FIFO that nobody reads from would answer a write with SIGPIPE.
_OPEN = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


class WantedFile(RecordFile):
    """What should run in one project."""

    __slots__ = ()

    def __init__(self, root: str) -> None:
        super().__init__(root, WANTED)

    def read(self) -> rules.Wanted | None:
        """What it says; None: nothing."""
        return rules.parse_wanted(self.read_value())

    def write(self, wanted: rules.Wanted) -> None:
        """Replace it whole. Only in one's turn. Raises StoreError."""
        self.write_value(wanted.to_json())


class ObservedFile(RecordFile):
    """What runs in one project."""

    __slots__ = ()

    def __init__(self, root: str) -> None:
        super().__init__(root, STATE)

    def read(self) -> rules.Observed | None:
        """What it says; None: nothing."""
        return rules.parse_observed(self.read_value())


class Bell:
    """Readable after it was rung, by this process or another one; where there can be no FIFO, by this one alone."""

    __slots__ = ("_reader", "_writer", "is_heard_by_all")

    def __init__(self, root: str) -> None:
        path = f"{root}/{FOLDER}/{BELL}"
        try:
            self._reader = self._writer = _made(path)
            self.is_heard_by_all = True
        except OSError:
            self._reader, self._writer = os.pipe()
            for fd in (self._reader, self._writer):
                os.set_blocking(fd, False)
            self.is_heard_by_all = False

    def fileno(self) -> int:
        """What becomes readable."""
        return self._reader

    def ring(self) -> None:
        """From any thread, or a handler of signals."""
        _write(self._writer)

    def clear(self) -> None:
        """It was heard."""
        try:
            while len(os.read(self._reader, 4096)) == 4096:
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """No more of it in this process."""
        for fd in {self._reader, self._writer}:
            os.close(fd)


def ring(root: str) -> None:
    """Make the supervisor look, where there is one."""
    try:
        fd = os.open(f"{root}/{FOLDER}/{BELL}", _OPEN)
    except OSError:  # no supervisor, or none that could make it: it looks by itself
        return
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            _write(fd)
    finally:
        os.close(fd)


def _made(path: str) -> int:
    """The FIFO, opened; what else stands there, and is none of ours, is taken away."""
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(os.lstat(path).st_mode):
            os.unlink(path)
            os.mkfifo(path, 0o600)
    return os.open(path, _OPEN)


def _write(fd: int) -> None:
    try:
        os.write(fd, b"!")
    except OSError:  # full: it is readable already
        return
