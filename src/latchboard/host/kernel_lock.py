"""Kernel lock: the two ways in which systems lock an open file for as long as its process lives, behind one port.

POSIX has flock(2): the lock belongs to the open file, so that two threads that open it twice exclude each other, and
it is gone when the last descriptor is closed, however the process ends. Windows has byte ranges that only bar others:
one byte far behind every record is locked, so that the record can still be read.

Does not run on Windows anywhere we test: that way is type-checked, and its rules are tested with a stand-in for
`msvcrt`.

Protocol: protocol/machine_lock.md, "The kernel lock".
"""

from __future__ import annotations

import errno
import os
import sys

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class KernelLock(Protocol):
        """Locks the file behind a descriptor, for the life of that descriptor."""

        def try_lock(self, fd: int) -> bool:
            """Lock it, exclusively; False when somebody else has it. Never waits. Raises OSError for trouble."""
            ...

    class Msvcrt(Protocol):
        """What is used of the module `msvcrt`."""

        LK_NBLCK: int

        def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
            """Lock `nbytes` from the current position of `fd`."""
            ...


LOCKED_BYTE = 0x7FFF_0000
"""Where Windows locks: `locking` takes positions below 2^31, and nothing is ever written there."""

_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN, getattr(errno, "EDEADLOCK", errno.EDEADLK))


class PosixLock:
    """flock(2)."""

    __slots__ = ()

    def try_lock(self, fd: int) -> bool:
        """As the port says."""
        if sys.platform != "win32":
            try:
                flock(fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return False
            return True
        else:
            raise OSError(errno.ENOSYS, "there is no flock(2) on Windows")


class WindowsLock:
    """`msvcrt.locking` on one byte that holds no data."""

    __slots__ = ("_msvcrt",)

    def __init__(self, msvcrt: Msvcrt) -> None:
        self._msvcrt = msvcrt

    def try_lock(self, fd: int) -> bool:
        """As the port says."""
        os.lseek(fd, LOCKED_BYTE, os.SEEK_SET)
        try:
            self._msvcrt.locking(fd, self._msvcrt.LK_NBLCK, 1)
        except OSError as exc:
            if exc.errno in _HELD_BY_ANOTHER:
                return False
            raise
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True


def kernel_lock() -> KernelLock:
    """That of this system."""
    if sys.platform == "win32":
        import msvcrt

        return WindowsLock(msvcrt)
    else:
        return PosixLock()
