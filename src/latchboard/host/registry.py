"""Registry: the folder of singletons, its guard, the lock files and the entries of each type.

Law 1. A lock file is never unlinked and never replaced; its kernel lock (filelock) is held for the process's life.
Law 2. Everything that looks at a lock or changes an entry does so under the guard. So whoever only looks keeps nobody
out: a probe of a lock is a lock.
Law 3. Nothing is followed: a symbolic link, a FIFO or a folder in the place of a file is refused; entries are replaced
by a rename within the open folder.
Law 4. A forked child closes what it inherited and never unlocks: the lock is its parent's (failures 3.8).

Knows files and bytes; what they mean is `latchboard.rules.singleton`. Does not survive a folder that is wiped while
somebody runs: he goes on, and a new one gets in.

Protocol: protocol/singleton.md, "Files".
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from contextlib import contextmanager

from latchboard.errors import StoreBusy, StoreError, UnsafeFolder, from_os_error
from latchboard.host import ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = "data/.agent_pids"
GUARD = "guard"
IGNORING = ".gitignore"
ENTRY_BYTES_MAX = 64 * 1024
_FILE_MODE = 0o644
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.00005, 0.002
_ENTRY_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Inherited:
    """What a forked child must close, and what keeps a fork from coming in between."""

    mutex = threading.RLock()
    descriptors: set[int] = set()
    fork_count = 0


def _forget() -> None:
    """In a forked child: close, never unlock; whatever was held is the parent's."""
    for fd in _Inherited.descriptors:
        os.close(fd)
    _Inherited.descriptors = set()
    _Inherited.mutex = threading.RLock()
    _Inherited.fork_count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(  # looked up each time: a forked child has a mutex of its own
        before=lambda: bool(_Inherited.mutex.acquire()),
        after_in_parent=lambda: _Inherited.mutex.release(),  # noqa: PLW0108
        after_in_child=_forget,
    )


class Seat:
    """The kernel lock of one lock file, held until it is left or the process ends, however it ends."""

    __slots__ = ("_fd", "_file", "_forks", "epoch")

    def __init__(self, fd: int, epoch: int) -> None:
        status = os.fstat(fd)
        self._fd = fd
        self._file = (status.st_dev, status.st_ino)
        self._forks = _Inherited.fork_count
        self.epoch = epoch

    @property
    def is_held(self) -> bool:
        """Whether this very process holds it, and its file still has a name."""
        status = self._status()
        return status is not None and status.st_nlink > 0

    def leave(self) -> None:
        """Give the lock up; harmless when repeated, and in a forked child."""
        is_ours = self._status() is not None
        fd, self._fd = self._fd, -1
        if is_ours:
            _close(fd)

    def _status(self) -> os.stat_result | None:
        """None: this process has it no more.

        Daemons close every descriptor there is; the lock goes with it, and the number may be somebody else's now.
        """
        if self._fd < 0 or self._forks != _Inherited.fork_count:
            return None
        try:
            status = os.fstat(self._fd)
        except OSError:
            return None
        return status if (status.st_dev, status.st_ino) == self._file else None

    def __del__(self) -> None:
        self.leave()


class Desk:
    """What can be done in the registry while its guard is held."""

    __slots__ = ("_folder", "_path")

    def __init__(self, folder: int, path: str) -> None:
        self._folder = folder
        self._path = path

    def names(self) -> list[str]:
        """Every file there is."""
        try:
            return os.listdir(self._folder)
        except OSError as exc:
            raise from_os_error(exc, "list", self._path) from exc

    def sit(self, name: str, epoch: int) -> Seat | None:
        """Take the kernel lock of a lock file, made if it is missing; None: another process holds it.

        Raises:
            StoreError: Something else stands in its place, or the system refused.
        """
        fd = _open_lock_file(self._folder, name, self._path)
        seat = Seat(fd, epoch)
        try:
            if _try_lock(fd):
                return seat
        except OSError as exc:
            raise from_os_error(exc, "lock", f"{self._path}/{name}") from exc
        seat.leave()
        return None

    def is_free(self, name: str) -> bool:
        """Whether nobody holds the kernel lock of a lock file; one that is missing is held by nobody."""
        try:
            fd = os.open(name, os.O_RDONLY | _ENTRY_FLAGS, dir_fd=self._folder)
        except FileNotFoundError:
            return True
        except OSError as exc:
            raise from_os_error(exc, "open", f"{self._path}/{name}") from exc
        _Inherited.descriptors.add(fd)
        try:
            return _try_lock(fd)
        except OSError as exc:
            raise from_os_error(exc, "lock", f"{self._path}/{name}") from exc
        finally:
            _close(fd)

    def read(self, name: str) -> bytes | None:
        """The first 64 KiB of an entry's file; None when there is none. What cannot be read is b""."""
        try:
            fd = os.open(name, os.O_RDONLY | _ENTRY_FLAGS, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError:  # a symbolic link, or not for us: it decides nothing, and is replaced as it is
            return b""
        try:
            return os.read(fd, ENTRY_BYTES_MAX)
        except OSError:  # a folder, a FIFO
            return b""
        finally:
            os.close(fd)

    def write(self, name: str, data: bytes) -> None:
        """Put a file in the place of an old one, whole; 0644 whatever the umask says.

        Raises:
            StoreError: Nothing was changed.
        """
        temporary = f".{name}.tmp"
        try:
            self.remove(temporary)  # nobody else is at the desk: it is that of a killed process
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ENTRY_FLAGS, _FILE_MODE, dir_fd=self._folder
            )
            try:
                os.fchmod(fd, _FILE_MODE)
                if hasattr(os, "posix_fallocate"):  # spares ext4 a flush of 1.5 ms at the rename
                    _reserve(fd, len(data))
                os.write(fd, data)
            finally:
                os.close(fd)
            os.replace(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as exc:
            self.remove(temporary)
            raise from_os_error(exc, "write", f"{self._path}/{name}") from exc

    def remove(self, name: str) -> None:
        """Remove an entry's file; one that is missing is removed already."""
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise from_os_error(exc, "remove", f"{self._path}/{name}") from exc


class Registry:
    """The registry of one project; one folder from wherever it is looked at. Threads may share it.

    Args:
        root: The project's folder, absolute.
        wait_s_max: Longest wait for the guard, seconds.
        look_at_mount: Called with the folder's path when this process first makes an entry in it.
    """

    def __init__(self, root: str, *, wait_s_max: float, look_at_mount: Callable[[str], None]) -> None:
        self.path = f"{root}/{FOLDER}"
        self._root = root
        self._wait_s_max = wait_s_max
        self._look_at_mount = look_at_mount
        self._is_proven = False
        self._is_ignored = False

    @contextmanager
    def at_desk(self, *, make: bool) -> Iterator[Desk | None]:
        """The guard, for as long as the context lasts. None: there is no registry, and `make` is false.

        Signals that end the process are acted on when the context is left. A fork waits until then.

        Raises:
            StoreBusy: The guard was not free in time; names its holder. Retryable.
            StoreError: The folder cannot be used, or must not be.
        """
        with ending.put_off(), _Inherited.mutex:
            folder = self._open_folder(make)
            if folder is None:
                yield None
                return
            _Inherited.descriptors.add(folder)
            try:
                guard = self._lock_guard(folder)
                try:
                    desk = Desk(folder, self.path)
                    if make and not self._is_ignored:
                        self._keep_out_of_git(desk)
                    yield desk
                finally:
                    _close(guard)
            finally:
                _close(folder)

    def _open_folder(self, make: bool) -> int | None:
        try:
            return self._open()
        except FileNotFoundError:
            if not make:
                return None
        try:
            os.makedirs(self.path, mode=0o755, exist_ok=True)
            return self._open()
        except OSError as exc:
            raise from_os_error(exc, "make", self.path) from exc

    def _keep_out_of_git(self, desk: Desk) -> None:
        if desk.read(IGNORING) is None:
            desk.write(IGNORING, b"# made by latchboard\n*\n")
        self._is_ignored = True

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if os.path.islink(self.path):
                raise self._unsafe("is a symbolic link") from None
            raise
        except NotADirectoryError:
            what = "is a symbolic link" if os.path.islink(self.path) else "is no folder"
            raise self._unsafe(what) from None
        except OSError as exc:
            raise from_os_error(exc, "open", self.path) from exc

    def _unsafe(self, what: str) -> StoreError:
        return UnsafeFolder(f"{self.path} {what}", hint="remove it; Latchboard makes the folder", path=self.path)

    def _lock_guard(self, folder: int) -> int:
        """The guard's descriptor, locked, of the file that has its name now (failures 3.3)."""
        started, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            fd = _open_lock_file(folder, GUARD, self.path)
            try:
                while not _try_lock(fd):
                    if time.monotonic() - started > self._wait_s_max:
                        raise self._busy(fd)
                    time.sleep(pause)
                    pause = min(pause * 1.5, _PAUSE_S_MAX)
                if not self._is_proven:
                    self._prove(folder)
                if os.fstat(fd).st_nlink:
                    return fd
            except OSError as exc:
                _close(fd)
                raise from_os_error(exc, "lock", f"{self.path}/{GUARD}") from exc
            except BaseException:
                _close(fd)
                raise
            _close(fd)

    def _prove(self, folder: int) -> None:
        """Once per process: a lock that is held must be refused to a second descriptor (failures 3.7).

        Raises:
            UnsafeFolder: It is not: everybody would be let in.
        """
        self._look_at_mount(self.path)
        fd = _open_lock_file(folder, GUARD, self.path)
        try:
            if _try_lock(fd):
                raise UnsafeFolder(
                    f"{self.path} lies on a file system where locks exclude nobody",
                    hint="put the project on a local disk",
                    path=self.path,
                )
        finally:
            _close(fd)
        self._is_proven = True

    def _busy(self, fd: int) -> StoreBusy:
        pids = lockers(fd)
        named = f"process {', '.join(map(str, pids))} has it" if pids else "who has it cannot be told from here"
        return StoreBusy(
            f"the guard of {self.path} was not free within {self._wait_s_max:g} s; {named}",
            hint="that process is stopped or hangs: let it go on (kill -CONT) or end it, then try again",
            waited_s=self._wait_s_max,
            pids=pids,
        )

    def pids_at(self, name: str) -> list[int]:
        """Processes that hold the kernel lock of a lock file, as far as this machine tells."""
        try:
            fd = os.open(f"{self.path}/{name}", os.O_RDONLY | _ENTRY_FLAGS)
        except OSError:
            return []
        try:
            return lockers(fd)
        finally:
            os.close(fd)


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


def _open_lock_file(folder: int, name: str, path: str) -> int:
    """A lock file's descriptor, noted for a forked child to close; its content is never read or written."""
    flags = _ENTRY_FLAGS | os.O_CREAT
    try:
        try:
            fd = os.open(name, os.O_RDWR | flags, _FILE_MODE, dir_fd=folder)
        except PermissionError:  # another user's: the kernel lets a reader lock it as well
            fd = os.open(name, os.O_RDONLY | _ENTRY_FLAGS, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise UnsafeFolder(f"{path}/{name} is no file", hint="remove it; a lock file belongs there", path=path)
    except OSError as exc:
        if exc.errno in (errno.EISDIR, errno.ENXIO):
            raise UnsafeFolder(f"{path}/{name} is no file", hint="remove what stands there", path=path) from exc
        raise from_os_error(exc, "open", f"{path}/{name}") from exc
    _Inherited.descriptors.add(fd)
    return fd


def _try_lock(fd: int) -> bool:
    """Take the kernel lock of a descriptor if it is free: flock(2), or what the platform has instead of it."""
    from filelock import lock_descriptor  # some 60 ms, which only those pay who need a singleton

    return lock_descriptor(fd, blocking=False)


def _close(fd: int) -> None:
    """Close a descriptor that a forked child would have to close; its kernel lock goes with it."""
    _Inherited.descriptors.discard(fd)
    try:
        os.close(fd)
    except OSError:  # closed by somebody who closes everything: nothing is left to give up
        return


def _reserve(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
