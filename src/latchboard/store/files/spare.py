"""Spares: the file of a lock that was given back waits, nameless, for the next lock.

Making and unlinking a file is what a lock costs most: the file system finds an inode and frees it again, and ext4 gets
many times slower at it where much was deleted shortly before. A rename needs neither. So the deleted record of a lock
or a waiter becomes `spare.<slot>.<n>.tmp`, and the next new one is written into it before it gets its name.

A spare is nobody's record: whoever finds one may remove it. A process remembers its own, and uses only those; the slot
bounds how many files all processes together can leave.

Protocol: protocol/layout.md, "Spares".
"""

from __future__ import annotations

import os

from latchboard.store.files import records

SLOTS = 8
SPARES_COUNT_MAX = 4

_SHORT_LIVED = ("locks/", "waiters/")
_REUSE = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_REGULAR = 0o100000


class Spares:
    """The spares of one process in one folder. Whoever uses it holds the guard."""

    __slots__ = ("_count", "_front")

    def __init__(self) -> None:
        self._front = f"spare.{os.getpid() % SLOTS}."
        self._count = 0

    def fill(self, folder: int, data: bytes, mode: int) -> str | None:
        """Write `data` into a spare; its name, or None when there is none that can be had. Raises OSError."""
        if not self._count:
            return None
        self._count -= 1
        name = f"{self._front}{self._count}.tmp"
        try:
            fd = os.open(name, _REUSE, dir_fd=folder)
        except OSError:  # another process of the same slot took it, or somebody tidied up
            return None
        try:
            status = os.fstat(fd)
            if status.st_mode != _REGULAR | mode or status.st_nlink != 1:
                return None  # a backup made of hard links has it too: writing here would change that
            records.write_all(fd, data)
            if status.st_size > len(data):
                os.ftruncate(fd, len(data))
        finally:
            os.close(fd)
        return name

    def keep(self, folder: int, path: str) -> bool:
        """Make the file at `path` a spare; false when it must be unlinked instead."""
        if self._count == SPARES_COUNT_MAX:
            return False
        try:
            os.rename(path, f"{self._front}{self._count}.tmp", src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            return False
        self._count += 1
        return True


def serves(key: str) -> bool:
    """Whether the files of such records come and go, and are small."""
    return key.startswith(_SHORT_LIVED)
