"""The guard: one kernel lock on one file, and the header that says how far the journal has been applied.

Law 1. The file is never unlinked and never replaced; who finds it gone or changed opens anew (failures 3.3).
Law 2. flock(2), never lockf: closing another descriptor of the file must not drop it. All implementations use the same
call.
Law 3. Waiting is bounded, and the error names the process that has it.
Law 4. A forked child closes; it never unlocks, for the lock is its parent's (failures 3.8).
Law 5. What was locked is freed by C code (`Freeing`): a signal handler that raises cannot come in between (failures
3.16). `finally` is Python code, and under dense signals three of them, one inside the other, were not enough.

The header is one line of 100 bytes: base, applied offset, last revision, boot id.

Protocol: protocol/store.md, "Guard".
"""

from __future__ import annotations

import os
import time
from _functools import partial  # type: ignore[import-not-found]
from _io import _IOBase

from latchboard.errors import ProtocolError, StoreBusy, StoreUnavailable
from latchboard.store.files.trouble import raise_typed

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
except ImportError:  # no flock(2) on this platform
    from latchboard.store.files.portable import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock  # type: ignore[assignment]

HEADER_BYTES = 100
_FIRST_PAUSE_S = 0.00002
_PAUSE_S_MAX = 0.002


class Header:
    """How far the journal goes.

    Attributes:
        base: The current journal, by its base.
        applied: Offset up to which its commits are in the record files.
        last: Revision of the last commit.
        boot: Boot id of the machine when it was written.
        written: What it says in the file, as far as this process knows; empty while it is being changed.
    """

    __slots__ = ("applied", "base", "boot", "last", "written")

    def __init__(self, base: int, applied: int, last: int, boot: str) -> None:
        self.base = base
        self.applied = applied
        self.last = last
        self.boot = boot
        self.written = b""

    def pack(self) -> bytes:
        return b"%20d %20d %20d %-36s\n" % (self.base, self.applied, self.last, self.boot.encode())

    @staticmethod
    def unpack(data: bytes) -> Header | None:
        """The header in `data`; None for a guard that was never written."""
        if not data:
            return None
        try:
            base, applied, last, boot = data.split()
            header = Header(int(base), int(applied), int(last), boot.decode())
            if len(data) != HEADER_BYTES or header.base < 1 or header.applied < 1 or header.last < 0:
                raise ValueError("not as it is written")
            header.written = data
            return header
        except ValueError:
            raise ProtocolError(
                f"the guard's header cannot be read: {data[:HEADER_BYTES]!r}",
                hint="the folder was damaged; the next commit repairs it from the journal",
            ) from None


class Freeing(_IOBase):
    """A context that frees the kernel lock of a descriptor when it is left, whether or not it was taken.

    Entered before the lock is taken. Both ends are C code all the way down to flock(2).
    """

    def __init__(self, fd: int) -> None:
        self.close = partial(flock, fd, LOCK_UN)  # type: ignore[method-assign]

    def forget(self) -> None:
        """The descriptor is about to be closed: do nothing with that number any more."""
        self.close = int  # type: ignore[method-assign,assignment]


def try_lock(fd: int, *, shared: bool) -> bool:
    """Take the kernel lock if it is free."""
    try:
        flock(fd, (LOCK_SH if shared else LOCK_EX) | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(fd: int, *, shared: bool, wait_s_max: float, path: str, since_s: float | None = None) -> None:
    """Take the kernel lock, waiting up to `wait_s_max` seconds (counted from `since_s`, a time.monotonic(), if given).

    A commit takes some 50 microseconds, so waiters look again after pauses of that order, longer each time: blocking
    flock(2) would hand over as fast but cannot be bounded (decision 0004).

    Raises:
        StoreBusy: It was not free in time; names the processes that have it. Retryable.
    """
    try:
        if try_lock(fd, shared=shared):
            return
        started, pause = time.monotonic() if since_s is None else since_s, _FIRST_PAUSE_S
        while time.monotonic() - started <= wait_s_max:
            time.sleep(pause)
            if try_lock(fd, shared=shared):
                return
            pause = min(pause * 1.5, _PAUSE_S_MAX)
    except OSError as exc:
        raise_typed(exc, "lock", path)
    raise _busy(fd, path, wait_s_max)


def unlock(fd: int) -> None:
    """Give the kernel lock back; harmless when it is not held."""
    flock(fd, LOCK_UN)


def read_header(fd: int, left: Header | None = None) -> Header | None:
    """The header, for whoever holds the guard; `left` itself when nobody has written another since."""
    data = os.pread(fd, HEADER_BYTES + 1, 0)
    return left if left is not None and data == left.written else Header.unpack(data)


def peek_header(fd: int) -> Header | None:
    """The header without the guard: read until two readings agree, for a write may be under way."""
    seen = os.pread(fd, HEADER_BYTES + 1, 0)
    for _ in range(1000):
        again = os.pread(fd, HEADER_BYTES + 1, 0)
        if again == seen:
            return Header.unpack(seen)
        seen = again
    raise StoreUnavailable("the guard's header never stood still", hint="try again")


def write_header(fd: int, header: Header) -> None:
    """Write the header. The guard is held exclusively. Raises OSError."""
    data = header.pack()
    os.pwrite(fd, data, 0)
    header.written = data


def holders(fd: int, *, exclusive: bool = False) -> list[int]:
    """Process ids that hold the kernel lock of this file, as far as this machine tells; only for a commit, if asked."""
    inode = os.fstat(fd).st_ino
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    ours = [r for r in rows if "->" not in r and len(r) > 5 and r[1] == "FLOCK" and r[5].endswith(f":{inode}")]
    return sorted({int(r[4]) for r in ours if r[3] == "WRITE" or not exclusive})


def _busy(fd: int, path: str, waited_s: float) -> StoreBusy:
    pids = [pid for pid in holders(fd) if pid > 0]
    named = f"process {', '.join(map(str, pids))} has it" if pids else "who has it cannot be told from here"
    return StoreBusy(
        f"the guard {path} was not free within {waited_s:g} s; {named}",
        hint="that process is stopped or hangs inside a commit: let it go on (kill -CONT) or end it, then try again",
        waited_s=waited_s,
        pids=pids,
    )
