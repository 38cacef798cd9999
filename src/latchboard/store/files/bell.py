"""Bells: a FIFO per waiting process. It wakes exactly one waiter, in some 70 microseconds (failures 3.21).

The waiter opens its own FIFO first, then queues, then looks: a ring between looking and waiting stays in the FIFO
(failures 3.18).
A bell that is lost costs time, never correctness: waiters look again by themselves every `wait_poll_s`.
"""

from __future__ import annotations

import errno
import os
import stat

from latchboard.errors import from_os_error
from latchboard.store.files import layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from latchboard.store.files.folder import Folder

# For reading and writing, also to ring: a FIFO that nobody reads from would answer a write with SIGPIPE.
_OPEN = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


class FileBell:
    """A FIFO that becomes readable after a commit changed its key."""

    __slots__ = ("_fd", "_path", "_pid")

    def __init__(self, folder: Folder, key: str, *, mode: int) -> None:
        """Raises StoreError: the bell cannot be made."""
        name = layout.bell(key)
        self._path = f"{folder.path}/{name}"
        self._pid = os.getpid()
        self._fd = -1
        try:
            _make(folder, name, mode)
            self._fd = os.open(name, _OPEN, dir_fd=folder.fd)
            if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
                raise OSError(errno.EEXIST, "something else was put in its place")
            if mode & 0o060:
                os.fchmod(self._fd, mode)  # else another user's release cannot ring it, and it is found by looking
        except OSError as exc:
            self.close()
            raise from_os_error(exc, "open the bell", self._path) from exc

    def fileno(self) -> int:
        """Readable once it was rung; -1 after `close`."""
        return self._fd

    def clear(self) -> None:
        """Forget the rings so far. Raises StoreError: the FIFO cannot be read any more."""
        try:
            while os.read(self._fd, 512):
                continue
        except BlockingIOError:
            return
        except OSError as exc:
            raise from_os_error(exc, "listen to the bell", self._path) from exc

    def close(self) -> None:
        """Remove it. In a forked child it is the parent's and stays."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        os.close(fd)
        if os.getpid() == self._pid:
            try:
                os.unlink(self._path)
            except OSError:
                return  # gone with its folder; and a FIFO that nobody reads does no harm


def ring(folder: Folder, keys: Iterable[str]) -> None:
    """Ring the bells of the keys that have one. Nobody listening is no error; a bell is a hint."""
    for key in keys:
        if layout.has_bell(key):
            try:
                fd = os.open(layout.bell(key), _OPEN, dir_fd=folder.fd)
            except OSError:
                continue  # no FIFO: the waiter is gone, or looks again by itself
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.write(fd, b"!")
            except OSError:
                continue  # full of rings; and whatever else it is, the commit stands
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
