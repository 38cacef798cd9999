"""Faults: system calls of the file store that fail, are cut short, or are the last that a process makes.

The modules of the store see a stand-in for `os` (and for flock) that counts their calls. A killed process is played by
one that raises at a call and then at every later one, so that no clean-up of Python's can run either; only closing goes
on, for that is what the kernel does for the dead.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_UN
from typing import TYPE_CHECKING, Any

from latchboard.store.files import (
    beginning,
    bell,
    changes,
    commit,
    folder,
    guard,
    past,
    records,
    recovery,
    snapshot,
    store,
    view,
    watch,
)

if TYPE_CHECKING:
    import pytest

MODULES = (*(beginning, bell, changes, commit, folder, guard, past, records, recovery, snapshot, store, view, watch),)
CALLS = (
    *("open", "read", "write", "pread", "pwrite", "fstat", "stat", "unlink", "rename", "mkdir", "listdir", "ftruncate"),
    *("fsync", "fdatasync", "posix_fallocate", "mkfifo", "fchmod", "chmod"),
)
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EACCES, errno.EDQUOT)


class Killed(BaseException):
    """The process is dead: nothing of it runs any more, but what the test itself does."""


class Faults:
    """Decides about each system call of the store.

    Attributes:
        made: The calls so far, since the last `reset`.
    """

    def __init__(self) -> None:
        self.made: list[str] = []
        self._decide: Callable[[int, str], None] = lambda number, name: None
        self._killed_after = False
        self._kill_at = -1
        self._short = -1
        self.is_dead = False

    def reset(self) -> None:
        """No more faults; count from zero."""
        self.__init__()  # type: ignore[misc]

    def fail(self, at: int, number: int, *, until: int | None = None) -> None:
        """Let the call `at` (and those up to `until`) fail with an error number."""
        self.reset()
        last = at if until is None else until

        def decide(index: int, name: str) -> None:
            if at <= index <= last:
                raise OSError(number, os.strerror(number))

        self._decide = decide

    def kill(self, at: int, *, after: bool) -> None:
        """Let the call `at` be the last one: it is not made, or (`after`) made and never returned from."""
        self.reset()
        self._killed_after = after

        def decide(index: int, name: str) -> None:
            if index == at and not after:
                self.is_dead = True
                raise Killed

        self._decide = decide
        self._kill_at = at

    def shorten(self, at: int) -> None:
        """Let the call `at`, a write, write half."""
        self.reset()
        self._short = at

    def call(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self.is_dead:
            raise Killed
        index = len(self.made)
        self.made.append(name)
        self._decide(index, name)
        if index == self._short and name == "write":
            args = (args[0], args[1][: len(args[1]) // 2])
        try:
            return function(*args, **options)
        finally:
            if self._killed_after and index == self._kill_at:
                self.is_dead = True
                raise Killed


class StandIn:
    """The module `os`, but for the calls that faults are decided about."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        for name in CALLS:
            # Flushing takes milliseconds and changes nothing that a process can see.
            function = _flushed if name in ("fsync", "fdatasync") else getattr(os, name)
            setattr(self, name, self._wrap(name, function))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: self._faults.call(name, function, *args, **options)


def _flushed(fd: int) -> None:
    """Says that it did what fsync does."""


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """The store's modules make their system calls through the faults that are yielded."""
    faults = Faults()
    flock: Callable[[int, int], None] = vars(guard)["flock"]
    with monkeypatch.context() as patch:
        for module in MODULES:
            patch.setattr(module, "os", StandIn(faults))
        # Freeing a lock cannot fail, and for the dead the kernel does it.
        patch.setattr(
            guard,
            "flock",
            lambda fd, flags: flock(fd, flags) if flags == LOCK_UN else faults.call("flock", flock, fd, flags),
        )
        yield faults
