"""Derived: a file beside the store that is made from it and can be made again, such as status_board.json.

It is no record: no commit writes it and nothing is decided by it. One process at a time writes it, under a kernel lock
of its own, so that an older one never replaces a newer one, and nobody waits for it inside the store's guard.

Protocol: protocol/layout.md, "Derived files".
"""

from __future__ import annotations

import os

from latchboard.errors import StoreBusy, from_os_error
from latchboard.store.files import guard, layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STATUS_BOARD = layout.STATUS_BOARD
_HEAD_BYTES = 4096
_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)

_open_now: set[int] = set()
"""Descriptors in use by some thread of this process; a forked child has no use for them, and closes them."""


class DerivedFile:
    """One derived file of the store in a folder; where there is no store yet, there is nothing to derive it from."""

    __slots__ = ("_mode", "_name", "_path", "_turn")

    def __init__(self, path: str, name: str, *, mode: int) -> None:
        """The file `name` in the store's folder `path`; nothing is opened yet."""
        self._path = path
        self._name = name
        self._mode = mode
        self._turn = f"{layout.JOURNAL_FOLDER}/{name}.turn"

    def head(self) -> bytes:
        """Its first 4096 bytes; empty when there is none that can be read."""
        try:
            fd = os.open(f"{self._path}/{self._name}", os.O_RDONLY | os.O_NONBLOCK | _OPEN)
        except OSError:
            return b""
        try:
            return os.read(fd, _HEAD_BYTES)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def written(self) -> tuple[int, float] | None:
        """Its size in bytes and when it was written, unix seconds; None when there is none."""
        try:
            status = os.stat(f"{self._path}/{self._name}", follow_symlinks=False)
        except OSError:
            return None
        return status.st_size, status.st_mtime

    def replace(self, make: Callable[[bytes], bytes | None], *, wait_s_max: float) -> bool:
        """Replace the file with what `make` returns for its first bytes.

        Args:
            make: Returns the whole new content, or None to leave the file as it is.
            wait_s_max: Longest wait for another process that is at it, seconds.

        Returns:
            False: another process was at it, or there is no store here.

        Raises:
            StoreError: The disk refused; the file is what it was.
        """
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise from_os_error(exc, "open", self._path) from exc
        _open_now.add(folder)
        try:
            with_turn = self._take_turn(folder, wait_s_max)
            if with_turn < 0:
                return False
            try:
                data = make(self.head())
                if data is not None:
                    self._write(folder, data)
            finally:
                # Not by closing alone: a child forked meanwhile has the descriptor too, until it closes it.
                guard.unlock(with_turn)
                _close(with_turn)
        except OSError as exc:
            raise from_os_error(exc, "write", f"{self._path}/{self._name}") from exc
        finally:
            _close(folder)
        return True

    def _take_turn(self, folder: int, wait_s_max: float) -> int:
        """The descriptor that has the kernel lock; -1: somebody else has it, or there is no store here."""
        try:
            fd = os.open(self._turn, os.O_RDWR | os.O_CREAT | _OPEN, self._mode, dir_fd=folder)
        except FileNotFoundError:
            return -1
        _open_now.add(fd)
        try:
            if self._mode & 0o060 and os.fstat(fd).st_uid == os.geteuid():
                os.fchmod(fd, self._mode)
            if guard.try_lock(fd, shared=False):
                return fd
            if wait_s_max > 0:
                guard.lock(fd, shared=False, wait_s_max=wait_s_max, path=f"{self._path}/{self._turn}")
                return fd
        except StoreBusy:
            pass
        except BaseException:
            _close(fd)
            raise
        _close(fd)
        return -1

    def _write(self, folder: int, data: bytes) -> None:
        """Rename a finished file over it, unless it says the same already."""
        if _size(folder, self._name) == len(data) and records.read(folder, self._name) == data:
            return
        temporary = records.stage(folder, self._name, data, self._mode)
        try:
            records.publish(folder, temporary, self._name)
        except OSError:
            records.delete(folder, temporary)
            raise


def _size(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except FileNotFoundError:
        return -1


def _close(fd: int) -> None:
    _open_now.discard(fd)
    os.close(fd)


def _after_fork() -> None:
    for fd in list(_open_now):
        _close(fd)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
