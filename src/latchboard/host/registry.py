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
import time
from contextlib import contextmanager
from io import FileIO

from latchboard.errors import StoreBusy, StoreError, UnsafeFolder, from_os_error
from latchboard.host import ending
from latchboard.host.seat import FLAGS, MODE, Inherited, Seat, close, lockers, note, open_lock_file, try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = "data/.agent_pids"
GUARD = "guard"
IGNORING = ".gitignore"
ENTRY_BYTES_MAX = 64 * 1024
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.00005, 0.002


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
        fd = open_lock_file(self._folder, name, self._path)
        seat = Seat(fd, epoch)
        try:
            if try_lock(fd):
                return seat
        except OSError as exc:
            raise from_os_error(exc, "lock", f"{self._path}/{name}") from exc
        except BaseException:  # an interrupt, perhaps with the lock taken (failures 3.16)
            seat.leave()
            raise
        seat.leave()
        return None

    def is_free(self, name: str) -> bool:
        """Whether nobody holds the kernel lock of a lock file; one that is missing is held by nobody."""
        try:
            fd = open_lock_file(self._folder, name, self._path, make=False)
        except FileNotFoundError:
            return True
        try:
            with FileIO(fd):  # as with the guard
                return try_lock(fd)
        except OSError as exc:
            raise from_os_error(exc, "lock", f"{self._path}/{name}") from exc

    def read(self, name: str) -> bytes | None:
        """The first 64 KiB of an entry's file; None when there is none. What cannot be read is b""."""
        try:
            fd = os.open(name, os.O_RDONLY | FLAGS, dir_fd=self._folder)
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
            fd = self._blank(temporary)
            try:
                os.pwrite(fd, data, 0)
                os.ftruncate(fd, len(data))
            finally:
                os.close(fd)
            os.replace(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as exc:
            self._unlink(temporary)
            raise from_os_error(exc, "write", f"{self._path}/{name}") from exc

    def _blank(self, temporary: str) -> int:
        """A file to write in: that of an entry that was removed, or a new one.

        To make a file costs 10 microseconds in one folder and 5,000 in another, by what was deleted in it before.
        """
        try:
            fd = os.open(temporary, os.O_WRONLY | FLAGS, dir_fd=self._folder)
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and stat.S_IMODE(status.st_mode) == MODE:
                return fd
            os.close(fd)
        except OSError:  # missing mostly; a link or another user's else
            pass
        self._unlink(temporary)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, MODE, dir_fd=self._folder)
        os.fchmod(fd, MODE)
        return fd

    def scribble(self, name: str, data: bytes) -> None:
        """Write a file in its place, at a tenth of what a rename costs: for what may begin again when it is damaged.

        Raises:
            StoreError: It may be damaged.
        """
        try:
            fd = os.open(name, os.O_WRONLY | FLAGS, dir_fd=self._folder)
        except OSError:  # missing, a link, a folder
            self.write(name, data)
            return
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                os.pwrite(fd, data, 0)
                if status.st_size > len(data):
                    os.ftruncate(fd, len(data))
                return
        except OSError as exc:
            raise from_os_error(exc, "write", f"{self._path}/{name}") from exc
        finally:
            os.close(fd)
        self.write(name, data)

    def remove(self, name: str) -> None:
        """Take an entry's file away; the next one is written in it. One that is missing is removed already."""
        try:
            if stat.S_ISREG(os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mode):
                os.rename(name, f".{name}.tmp", src_dir_fd=self._folder, dst_dir_fd=self._folder)
                return
        except FileNotFoundError:
            return
        except OSError as exc:
            raise from_os_error(exc, "remove", f"{self._path}/{name}") from exc
        self._unlink(name)

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno in (errno.EISDIR, errno.EPERM):
                what = f"{self._path}/{name} is a folder, or must not be removed"
                raise UnsafeFolder(what, hint="remove what stands there", path=self._path) from exc
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
        with ending.put_off(), Inherited.mutex:
            folder = self._open_folder(make)
            if folder is None:
                yield None
                return
            try:
                note(folder)
                with self._lock_guard(folder):
                    desk = Desk(folder, self.path)
                    if make and not self._is_ignored:
                        self._keep_out_of_git(desk)
                    yield desk
            finally:
                close(folder)

    def _open_folder(self, make: bool) -> int | None:
        try:
            return self._open()
        except FileNotFoundError:
            if not make:
                return None
        try:
            os.stat(self._root)  # a project that was moved away does not come back there, empty
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

    def _lock_guard(self, folder: int) -> FileIO:
        """The guard, locked until it is closed, of the file that has its name now (failures 3.3).

        C code closes it: in Python code a signal handler that raises could come in between (failures 3.16).
        """
        started, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            guard = FileIO(open_lock_file(folder, GUARD, self.path))
            try:
                while not try_lock(guard.fileno()):
                    if time.monotonic() - started > self._wait_s_max:
                        raise self._busy(guard.fileno())
                    time.sleep(pause)
                    pause = min(pause * 1.5, _PAUSE_S_MAX)
                if not self._is_proven:
                    self._prove(folder)
                if os.fstat(guard.fileno()).st_nlink:
                    return guard
            except OSError as exc:
                guard.close()
                raise from_os_error(exc, "lock", f"{self.path}/{GUARD}") from exc
            except BaseException:
                guard.close()
                raise
            guard.close()

    def _prove(self, folder: int) -> None:
        """Once per process: a lock that is held must be refused to a second descriptor (failures 3.7).

        Raises:
            UnsafeFolder: It is not: everybody would be let in.
        """
        self._look_at_mount(self.path)
        fd = open_lock_file(folder, GUARD, self.path)
        try:
            if try_lock(fd):
                raise UnsafeFolder(
                    f"{self.path} lies on a file system where locks exclude nobody",
                    hint="put the project on a local disk",
                    path=self.path,
                )
        finally:
            close(fd)
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
            fd = os.open(f"{self.path}/{name}", os.O_RDONLY | FLAGS)
        except OSError:
            return []
        try:
            return lockers(fd)
        finally:
            os.close(fd)
