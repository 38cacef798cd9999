"""Bells: a FIFO per waiting process. It wakes exactly one waiter, in some 70 microseconds (failures 3.21, facts in decision 0006).

The waiter opens its own FIFO first, then queues, then looks: a ring between looking and waiting stays in the FIFO (failures 3.18).
A bell that is lost costs time, never correctness: waiters look again by themselves every `wait_poll_s`.
"""

from __future__ import annotations

import os
import stat

from latchboard.errors import from_os_error
from latchboard.store.files import layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from latchboard.store.files.folder import Folder

_LISTEN = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_RING = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


class FileBell:
    """A FIFO that becomes readable after a commit changed its key."""

    __slots__ = ("_fd", "_path")

    def __init__(self, folder: Folder, key: str, *, mode: int) -> None:
        name = layout.bell(key)
        self._path = f"{folder.path}/{name}"
        try:
            _make(folder, name, mode)
            self._fd = os.open(name, _LISTEN, dir_fd=folder.fd)
        except OSError as exc:
            raise from_os_error(exc, "open the bell", self._path) from exc

    def fileno(self) -> int:
        return self._fd

    def clear(self) -> None:
        """Forget the rings so far."""
        try:
            while os.read(self._fd, 512):
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                return


def ring(folder: Folder, keys: Iterable[str]) -> None:
    """Ring the bells of the keys that have one. Nobody listening is no error; a bell is a hint."""
    for key in keys:
        if layout.has_bell(key):
            try:
                fd = os.open(layout.bell(key), _RING, dir_fd=folder.fd)
            except OSError:
                continue  # no FIFO, or nobody has it open: the waiter is gone or looks again by itself
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.write(fd, b"!")
            except BlockingIOError:
                continue  # already full of rings
            finally:
                os.close(fd)


def _make(folder: Folder, name: str, mode: int) -> None:
    try:
        os.mkfifo(name, mode, dir_fd=folder.fd)
    except FileExistsError:
        records.delete(folder.fd, name)
        os.mkfifo(name, mode, dir_fd=folder.fd)
    except FileNotFoundError:
        records.make_folders(folder.fd, name, mode)
        os.mkfifo(name, mode, dir_fd=folder.fd)
