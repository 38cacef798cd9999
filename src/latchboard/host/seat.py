"""Seat: the kernel lock of one file, held until it is left or its process ends; by filelock, on our own descriptors.

Law 1. A lock file is opened without following links, is never unlinked, and is never read or written.
Law 2. A forked child closes what it inherited and never unlocks: the lock is its parent's (failures 3.8).
Law 3. A descriptor that somebody else closed is not closed again: its number may be another file's by now.

Protocol: protocol/singleton.md, "Files".
"""

from __future__ import annotations

import errno
import os
import stat
import threading

from latchboard.errors import UnsafeFolder, from_os_error

FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Nothing is followed, nothing blocks, nothing is inherited by another program."""
MODE = 0o644


class Inherited:
    """What a forked child must close, and what keeps a fork from coming in between."""

    mutex = threading.RLock()
    descriptors: dict[int, tuple[int, int]] = {}
    """Each with the device and inode of its file."""
    fork_count = 0


def note(fd: int) -> None:
    """From now on a forked child closes this descriptor."""
    status = os.fstat(fd)
    Inherited.descriptors[fd] = (status.st_dev, status.st_ino)


def _forget() -> None:
    """In a forked child: close, never unlock; whatever was held is the parent's."""
    noted, Inherited.descriptors = Inherited.descriptors, {}
    Inherited.mutex = threading.RLock()
    Inherited.fork_count += 1
    for fd, file in noted.items():
        if _status_of(fd, file) is not None:
            os.close(fd)


def _status_of(fd: int, file: tuple[int, int]) -> os.stat_result | None:
    """None: the descriptor is not on that file any more.

    Daemons close every descriptor there is; the lock goes with it, and the number may be somebody else's now.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status if (status.st_dev, status.st_ino) == file else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(  # looked up each time: a forked child has a mutex of its own
        before=lambda: bool(Inherited.mutex.acquire()),
        after_in_parent=lambda: Inherited.mutex.release(),  # noqa: PLW0108
        after_in_child=_forget,
    )


class Seat:
    """The kernel lock of one lock file, held until it is left or the process ends, however it ends."""

    _fd = -1

    def __init__(self, fd: int, epoch: int) -> None:
        self._file = Inherited.descriptors[fd]
        self._fd = fd
        self._forks = Inherited.fork_count
        self.epoch = epoch

    @property
    def is_held(self) -> bool:
        """Whether this very process holds it, and its file still has a name."""
        status = self._status()
        return status is not None and status.st_nlink > 0

    def leave(self) -> None:
        """Give the lock up; harmless when repeated, and in a forked child."""
        if self._status() is not None:
            close(self._fd)
        self._fd = -1  # last: interrupted before, it is left once more (failures 3.16)

    def _status(self) -> os.stat_result | None:
        """None: this process has it no more."""
        is_gone = self._fd < 0 or self._forks != Inherited.fork_count
        return None if is_gone else _status_of(self._fd, self._file)

    def __del__(self) -> None:
        self.leave()


def lockers(fd: int) -> list[int]:
    """Processes that hold the kernel lock of this file, by /proc/locks; none where that is not to be had."""
    status = os.fstat(fd)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    ours = [r[4] for r in rows if "->" not in r and len(r) > 5 and r[1] == "FLOCK" and r[5] == place]
    return sorted({int(pid) for pid in ours if pid.isdecimal() and pid != "0"})


def open_lock_file(folder: int, name: str, path: str, *, make: bool = True) -> int:
    """A lock file's descriptor, noted for a forked child to close; its content is never read or written.

    Raises:
        FileNotFoundError: It is missing, and not to be made.
        StoreError: Something else stands in its place, or the system refused.
    """
    try:
        try:
            fd = os.open(name, os.O_RDWR | FLAGS | (os.O_CREAT if make else 0), MODE, dir_fd=folder)
        except OSError as exc:  # another user's, or mounted read-only: the kernel lets a reader lock it as well
            if exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            fd = os.open(name, os.O_RDONLY | FLAGS, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _no_file(path, name)
    except OSError as exc:
        if exc.errno in (errno.EISDIR, errno.ENXIO):
            raise _no_file(path, name) from exc
        if not make and isinstance(exc, FileNotFoundError):
            raise
        raise from_os_error(exc, "open", f"{path}/{name}") from exc
    note(fd)
    return fd


def _no_file(path: str, name: str) -> UnsafeFolder:
    return UnsafeFolder(f"{path}/{name} is no file", hint="remove what stands there", path=path)


def try_lock(fd: int) -> bool:
    """Take the kernel lock of a descriptor if it is free: flock(2), or what the platform has instead of it."""
    from filelock import lock_descriptor  # some 60 ms, which only those pay who need a singleton

    return lock_descriptor(fd, blocking=False)


def close(fd: int) -> None:
    """Close a descriptor that a forked child would have to close; its kernel lock goes with it."""
    noted = Inherited.descriptors.get(fd)
    try:
        os.close(fd)
    except OSError:  # closed by somebody who closes everything: nothing is left to give up
        pass
    if Inherited.descriptors.get(fd) is noted:  # not that of another thread, which got the number
        Inherited.descriptors.pop(fd, None)
