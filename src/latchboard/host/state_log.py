"""State log: a line for each change of state of a process, to a file that stays small and to standard error.

    2026-11-21T14:00:00.000000Z worker.claimed job=build-7 token=1795229464990001 title="Build the parser"

Law. It never raises: a full disk keeps nobody from work.

Protocol: protocol/worker.md, "Log".
"""

from __future__ import annotations

import os
import select
import sys

from latchboard.clock import iso
from latchboard.codec import encode, sayable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.clock import Clock

BYTES_MAX = 1024 * 1024
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:+@%")


class StateLog:
    """One file; one process writes it."""

    __slots__ = ("_clock", "_path")

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def say(self, event: str, **facts: object) -> None:
        """A line: the time, what happened, and what belongs to it."""
        words = [f"{name}={_word(value)}" for name, value in facts.items()]
        line = " ".join((iso(self._clock.now().wall_s), event, *words)) + "\n"
        data = line.encode("utf-8", "backslashreplace")
        for write in (self._to_file, _to_stderr):
            try:
                write(data)
            except OSError:  # nobody is left to be told, and the work goes on
                continue

    def _to_file(self, data: bytes) -> None:
        fd = os.open(self._path, _FLAGS, 0o600)
        try:
            if os.fstat(fd).st_size + len(data) > BYTES_MAX:
                os.replace(self._path, f"{self._path}.1")
                large, fd = fd, os.open(self._path, _FLAGS, 0o600)
                os.close(large)
            os.write(fd, data)
        finally:
            os.close(fd)


def _to_stderr(data: bytes) -> None:
    if sys.stderr is None:
        return
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    while data and any(event & select.POLLOUT for _, event in poll.poll(0)):  # nobody reads it: that must stop no work
        data = data[os.write(2, data[: select.PIPE_BUF]) :]


def _word(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else encode(sayable(text))
