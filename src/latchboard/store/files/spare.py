"""Spares: files that records have left wait, nameless, for the next record.

Making and unlinking a file is what a lock costs most: the file system finds an inode and frees it again, and ext4 gets
many times slower at it where much was deleted shortly before. A rename needs neither. So the file of a record that is
deleted becomes `spare.<slot>.<n>.tmp`, the one that a record had before it was replaced `old.<slot>.<n>.tmp`, and the
next record is written into one of them before that gets its name. Long ones are left to the file system.

A spare is nobody's record: whoever finds one may remove it. A process remembers its own, and uses only those; the slot
bounds how many files all processes together can leave.

Invariant: no file is written into while a record has it. A process may be killed between the two steps of `replace`;
then the `old` file is a record's as well, and its two links say so. Nothing is ever renamed onto such a name: onto
another link of itself that would do nothing.

Protocol: protocol/layout.md, "Spares".
"""

from __future__ import annotations

import os

from latchboard.store.files import records

SLOTS = 8
SPARES_COUNT_MAX = 4
"""Of each of the two kinds, for one process."""

SPARE_BYTES_MAX = 16384

_SURELY_SHORT = ("locks/", "waiters/")
_REUSE = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_REGULAR = 0o100000


class Spares:
    """The spares of one process in one folder. Whoever uses it holds the guard."""

    __slots__ = ("_free", "_free_for_old", "_homes", "_ready")

    def __init__(self) -> None:
        slot = os.getpid() % SLOTS
        self._free = [f"spare.{slot}.{n}.tmp" for n in range(SPARES_COUNT_MAX)]
        self._free_for_old = [f"old.{slot}.{n}.tmp" for n in range(SPARES_COUNT_MAX)]
        self._ready: list[str] = []
        # By the whole name: the temporary file of a lock on `old.py` begins like a spare, and is none.
        self._homes = {name: names for names in (self._free, self._free_for_old) for name in names}

    def fill(self, folder: int, data: bytes, mode: int, *, replaces: bool) -> str | None:
        """Write `data` into a spare; its name, or None when there is none that can be had. Raises OSError.

        The name is in use until `publish` or `discard` is told of it. `replaces`: as for `records.stage`.
        """
        if not self._ready:
            return None
        name = self._ready.pop()
        if self._write(folder, name, data, mode, replaces=replaces):
            return name
        self._free_again(name)
        return None

    def _write(self, folder: int, name: str, data: bytes, mode: int, *, replaces: bool) -> bool:
        try:
            fd = os.open(name, _REUSE, dir_fd=folder)
        except OSError:  # another process of the same slot took it, or somebody tidied up
            return False
        try:
            status = os.fstat(fd)
            if status.st_mode != _REGULAR | mode or status.st_nlink != 1:
                return False  # a record has it, or a backup made of hard links: writing here would change that
            if replaces:
                records.allocate(fd, len(data))
            records.write_all(fd, data)
            if status.st_size > len(data):
                os.ftruncate(fd, len(data))
        finally:
            os.close(fd)
        return True

    def publish(self, folder: int, temporary: str, path: str, *, replaces: bool) -> None:
        """Rename a staged file to its place, and keep the one that it replaces, if that can be kept. Raises OSError."""
        kept = self._free_for_old[-1] if replaces and self._free_for_old else ""
        if kept and not _link(folder, path, kept):
            kept = ""
        records.publish(folder, temporary, path)
        if kept:
            self._ready.append(self._free_for_old.pop())
        self._free_again(temporary)

    def discard(self, folder: int, temporary: str) -> None:
        """Remove a staged file that is not to be published."""
        records.discard(folder, temporary)
        self._free_again(temporary)

    def _free_again(self, temporary: str) -> None:
        home = self._homes.get(temporary)
        if home is not None:
            home.append(temporary)

    def keep(self, folder: int, path: str, *, is_short: bool) -> bool:
        """Make the file at `path` a spare; false when it must be unlinked instead. `is_short`: surely."""
        if not self._free:
            return False
        try:
            if not is_short and os.stat(path, dir_fd=folder, follow_symlinks=False).st_size > SPARE_BYTES_MAX:
                return False
            os.rename(path, self._free[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            return False
        self._ready.append(self._free.pop())
        return True


def _link(folder: int, path: str, name: str) -> bool:
    """Give the file at `path` a second name."""
    try:
        try:
            os.link(path, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:  # of another process of the same slot
            os.unlink(name, dir_fd=folder)
            os.link(path, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def is_surely_short(key: str) -> bool:
    """Whether the files of such records are short, so that nobody need look."""
    return key.startswith(_SURELY_SHORT)
