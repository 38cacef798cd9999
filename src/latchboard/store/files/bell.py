"""Bells: a FIFO per waiting process. It wakes exactly one waiter, in some 70 microseconds (failures 3.21).

The waiter opens its own FIFO first, then queues, then looks: a ring between looking and waiting stays in the FIFO
(failures 3.18).
A bell that is lost costs time, never correctness: waiters look again by themselves every `wait_poll_s`.

Not every file system has FIFOs. Where it refuses them the waiter looks at its record every `watch_poll_s` instead.
"""

from __future__ import annotations

import errno
import os
import stat
from _thread import allocate_lock, start_new_thread

from latchboard.errors import StoreError, from_os_error
from latchboard.store.files import layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from latchboard.store.files.folder import Folder
    from latchboard.store.port import Bell

_NO_FIFOS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

# For reading and writing, also to ring: a FIFO that nobody reads from would answer a write with SIGPIPE.
_OPEN = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


def make(folder: Folder, key: str, *, mode: int, look_s: float) -> Bell:
    """A bell for `key`; where there can be no FIFO, one that looks every `look_s` seconds.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        return FileBell(folder, key, mode=mode)
    except StoreError as exc:
        if exc.fields.get("errno") not in _NO_FIFOS:
            raise
    return LookingBell(f"{folder.path}/{layout.record(key)}", look_s)


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


class LookingBell:
    """Becomes readable after the file of a record changed: a thread looks at it, from here to `close`."""

    __slots__ = ("_over", "_path", "_pid", "_seen", "_wakeup")

    def __init__(self, path: str, look_s: float) -> None:
        """Raises StoreError: no file handle is left."""
        from latchboard.store.wakeup import Wakeup

        self._path = path
        self._pid = os.getpid()
        self._seen = self._look()
        try:
            self._wakeup = Wakeup()
        except OSError as exc:
            raise from_os_error(exc, "look at", path) from exc
        self._over = allocate_lock()
        self._over.acquire()
        start_new_thread(self._run, (look_s,))

    def _run(self, look_s: float) -> None:
        while not self._over.acquire(timeout=look_s):
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._wakeup.ring()

    def _look(self) -> tuple[int, ...]:
        """What another content of the file has not."""
        try:
            status = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return ()  # not there; or not to be seen, and the waiter hears of that when it looks by itself
        return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)

    def fileno(self) -> int:
        """Readable some time after a change; -1 after `close`."""
        return self._wakeup.fileno()

    def clear(self) -> None:
        """Forget the changes so far.

        What is there now is what the next look is compared with: a record that came and went between two looks would
        leave no trace.
        """
        self._wakeup.clear()
        self._seen = self._look()

    def close(self) -> None:
        """End the thread. In a forked child there is none."""
        if os.getpid() != self._pid:
            self._wakeup.after_fork()  # the parent's thread may have been ringing
        elif self._over.locked():
            self._over.release()
        self._wakeup.close()


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
