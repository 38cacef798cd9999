"""Lock file: an open file that a kernel lock is taken on; opened with distrust, closed in forked children.

Law 1. Nothing is unlinked or renamed here, so that whoever waits on a file waits on the right one.
Law 2. A forked child closes what its parent had open; it never unlocks. That holds also for a file that another
thread was opening or closing while its process forked (failures 3.8).
Law 3. Only a plain file with one name is used, and in a folder that everybody may write to only one of our own: a
symbolic link, a pipe or a hard link that somebody left there is refused, and nothing is written through it.

Protocol: protocol/machine_lock.md, "Files".
"""

from __future__ import annotations

import errno
import os
import sys
from stat import S_IMODE, S_ISREG, S_IWOTH
from threading import RLock

from latchboard.errors import HostError, UnsafeFolder, from_os_error
from latchboard.host.kernel_lock import kernel_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from latchboard.host.kernel_lock import KernelLock

    Place = Literal["same", "gone", "other"]

_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FLAGS |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)  # Windows
_NO_PLAIN_FILE = (errno.EISDIR, errno.ENXIO, errno.ENODEV)
_MODE = 0o600
_OPENINGS_MAX = 100

_forking = RLock()  # held while a file is opened and noted, or closed, and while a process forks
_open: dict[int, LockFile] = {}
_after_fork: list[Callable[[], None]] = []


class LockFile:
    """One open file. Used by one thread at a time.

    Attributes:
        path: Its absolute path.
        is_locked: Whether this object has its kernel lock.
        is_forked: Whether a fork has put this object into another process than the one that opened the file.
    """

    __slots__ = ("_fd", "_kernel", "_seen", "is_forked", "is_locked", "path")

    def __init__(self, path: str, kernel: KernelLock) -> None:
        """Open the file, and make it and its folder where they are missing.

        Raises:
            UnsafeFolder: What stands there is not a plain file of ours.
            StoreError: The system refused.
        """
        self.path = path
        self.is_locked = False
        self.is_forked = False
        self._kernel = kernel
        self._fd = -1
        try:
            with _forking:
                self._fd = _open_or_make(path)
                _open[id(self)] = self
            status = os.fstat(self._fd)
            _check(path, status)
            _keep_private(self._fd, status)
        except OSError as exc:
            self.close()
            if exc.errno in _NO_PLAIN_FILE:
                raise _unsafe(path, "it is no plain file") from exc
            raise from_os_error(exc, "open the lock file", path) from exc
        except BaseException:
            self.close()
            raise
        self._seen = (status.st_dev, status.st_ino)

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed, here or by a fork."""
        return self._fd >= 0

    def fileno(self) -> int:
        """Its descriptor, for a process that is to keep the kernel lock as well; -1 once it is closed."""
        return self._fd

    def try_lock(self) -> bool:
        """Take the kernel lock if nobody has it. Raises StoreError."""
        if not self.is_locked:
            try:
                self.is_locked = self._kernel.try_lock(self._fd)
            except OSError as exc:
                raise from_os_error(exc, "lock", self.path) from exc
        return self.is_locked

    def place(self) -> Place:
        """What the path leads to now: the same file, none ("gone"), or another one. Raises StoreError."""
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except OSError as exc:
            raise from_os_error(exc, "look at", self.path) from exc
        return "same" if (status.st_dev, status.st_ino) == self._seen else "other"

    def read(self, bytes_max: int) -> bytes:
        """Its content, but for what is behind `bytes_max` bytes. Raises StoreError."""
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            return os.read(self._fd, bytes_max)
        except OSError as exc:
            raise from_os_error(exc, "read", self.path) from exc

    def write(self, data: bytes) -> None:
        """Make `data` its content. Raises StoreError: it is then empty, or torn."""
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as exc:
            raise from_os_error(exc, "write", self.path) from exc

    def close(self) -> None:
        """Close it; its kernel lock is free then. Harmless when repeated."""
        with _forking:  # a fork in between would give the child a descriptor that nobody knows of, and the lock with it
            fd = self._fd
            try:
                self.is_locked = False
                _open.pop(id(self), None)
            finally:  # an interrupt comes after a call: none fits between forgetting the descriptor and closing it
                self._fd = -1
                if fd >= 0:
                    try:
                        os.close(fd)
                    except OSError:  # it is closed all the same, and nothing of a lock file need ever reach the disk
                        pass

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()


class LockFiles:
    """This machine, as a machine lock needs it."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: KernelLock | None = None) -> None:
        self._kernel = kernel or kernel_lock()

    def open(self, path: str) -> LockFile:
        """Open a lock file, and make it where it is missing. Raises StoreError."""
        return LockFile(path, self._kernel)

    def text(self, path: object) -> str:
        """A path as text. Raises TypeError for what is none."""
        return os.fsdecode(path)  # type: ignore[arg-type]

    def anchor(self, path: str) -> str:
        """Where the anchor of a lock file is: beside it, hidden."""
        folder, name = os.path.split(path)
        return os.path.join(folder, f".{name}.anchor")

    def absolute(self, path: str) -> str:
        """The absolute path, so that a change of the current folder changes nothing. Raises HostError."""
        try:
            return os.path.join(os.getcwd(), path)
        except OSError as exc:
            raise HostError(f"cannot tell what {path} is relative to: {exc}", hint="give an absolute path") from exc

    def read(self, path: str, bytes_max: int) -> bytes | None:
        """The content of a lock file, None where there is none; makes nothing and locks nothing. Raises StoreError."""
        return read_plain(path, bytes_max)

    def pid(self) -> int:
        """The number of this process."""
        return os.getpid()

    def name(self) -> str:
        """The name of this machine, for people.

        Not by the module `platform`: while the lock is held nothing is imported, for in a child that was forked while
        another thread imported the same module that would never end.
        """
        return os.uname().nodename if sys.platform != "win32" else os.environ.get("COMPUTERNAME", "")

    def after_fork(self, action: Callable[[], None]) -> None:
        """Have `action` called in every forked child, after its lock files were closed."""
        _after_fork.append(action)


def read_plain(path: str, bytes_max: int) -> bytes | None:
    """The start of a plain file, None where there is none.

    Raises:
        UnsafeFolder: It is a symbolic link, or no plain file.
        StoreError: The system refused.
    """
    with _forking:  # a child would have it open for ever
        try:
            fd = os.open(path, _FLAGS & ~os.O_RDWR | os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise from_os_error(exc, "read the lock file", path) from exc
        try:
            if not S_ISREG(os.fstat(fd).st_mode):
                raise _unsafe(path, "it is no plain file")
            return os.read(fd, bytes_max)
        except OSError as exc:
            raise from_os_error(exc, "read the lock file", path) from exc
        finally:
            os.close(fd)


def _open_or_make(path: str) -> int:
    """Open the file; without O_CREAT at first, which the kernel may refuse for a file of another user."""
    for _ in range(_OPENINGS_MAX):
        try:
            return os.open(path, _FLAGS)
        except FileNotFoundError:
            pass
        try:
            return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
        except FileExistsError:
            continue  # somebody made it just now
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))
    raise UnsafeFolder(f"{path} comes and goes: something deletes it again and again", hint="end what deletes it")


def _make_folder(folder: str) -> None:
    """Make a folder, 0700, and those above it that are missing."""
    above = os.path.dirname(folder)
    if not os.path.isdir(above):
        _make_folder(above)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def _check(path: str, status: os.stat_result) -> None:
    if not S_ISREG(status.st_mode):
        raise _unsafe(path, "it is no plain file")
    if status.st_nlink > 1:
        raise _unsafe(path, "it has another name: it is somebody's file, hard-linked to this place")
    if _is_ours(status):
        return
    folder = os.stat(os.path.dirname(path))
    if folder.st_mode & S_IWOTH:
        raise _unsafe(path, "it belongs to another user, in a folder that everybody may write to")


def _is_ours(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _keep_private(fd: int, status: os.stat_result) -> None:
    if sys.platform != "win32" and _is_ours(status) and S_IMODE(status.st_mode) != _MODE:
        os.fchmod(fd, _MODE)


def _unsafe(path: str, reason: str) -> UnsafeFolder:
    return UnsafeFolder(
        f"{path} cannot be used as a lock file: {reason}",
        hint="remove it, or give the lock a path in a folder of your own",
        path=path,
    )


def _in_child() -> None:
    for file in list(_open.values()):
        file.is_forked = True
        file.close()
    _forking.release()
    for action in _after_fork:
        action()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_in_child)
