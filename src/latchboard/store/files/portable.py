"""flock(2) by another name, for platforms without it. Not run by our tests: they are POSIX (README, "Not promised")."""

from __future__ import annotations

import portalocker
from portalocker import LockFlags

LOCK_EX = LockFlags.EXCLUSIVE
LOCK_SH = LockFlags.SHARED
LOCK_NB = LockFlags.NON_BLOCKING
LOCK_UN = LockFlags.UNBLOCK


def flock(fd: int, flags: LockFlags) -> None:
    """Lock or unlock `fd`; BlockingIOError when another descriptor has it."""
    if flags & LOCK_UN:
        portalocker.unlock(fd)
        return
    try:
        portalocker.lock(fd, flags)
    except portalocker.LockException as exc:
        raise BlockingIOError(str(exc)) from exc
