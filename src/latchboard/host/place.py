"""Place: a folder as the machine has it: its mount, its space, its permissions, whether it tells of changes; looked at.

Nothing is made or changed, and no lock is taken: who has a kernel lock is asked of /proc/locks.

Protocol: protocol/health.md, "Store".
"""

from __future__ import annotations

import errno
import os
import stat

from latchboard.host.identity import read_stat
from latchboard.host.seat import lockers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOK = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MOUNTS = "/proc/self/mountinfo"
_LOCKS = "/proc/locks"
_IN_MODIFY = 2
_LIMITS = {
    errno.EMFILE: "fs.inotify.max_user_instances",
    errno.ENOSPC: "fs.inotify.max_user_watches",
}


class Place:
    """This machine's view of files, for whoever only looks."""

    __slots__ = ()

    def mode(self, path: str) -> tuple[int, int, str] | None:
        """Permission bits, owner, and what it is (`folder`, `file`, `link`, `other`); None: there is nothing.

        Raises:
            OSError: It cannot be told.
        """
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kinds = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        return stat.S_IMODE(found.st_mode), found.st_uid, kinds.get(stat.S_IFMT(found.st_mode), "other")

    def may_use(self, path: str) -> bool:
        """Whether this user may read, write and, in a folder, look for what is in it."""
        is_folder = os.path.isdir(path)
        return os.access(path, os.R_OK | os.W_OK | (os.X_OK if is_folder else 0))

    def is_read_only(self, path: str) -> bool:
        """Whether the file system is mounted read-only. Raises OSError."""
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)

    def space(self, path: str) -> dict[str, int]:
        """`free_bytes`, `total_bytes`, `free_files`, `total_files` for this user; a total of 0: no such limit.

        Raises:
            OSError: It cannot be told.
        """
        found = os.statvfs(path)
        return {
            "free_bytes": found.f_bavail * found.f_frsize,
            "total_bytes": found.f_blocks * found.f_frsize,
            "free_files": found.f_favail,
            "total_files": found.f_files,
        }

    def mounts(self) -> str:
        """The table of mounts; "" where there is none."""
        try:
            with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return ""

    def silence(self, folder: str) -> str:
        """Why the system would not tell of changes in a folder: the limit that is used up, or a reason; "": it would.

        A watch is opened and closed again; nobody sees it. "" also where this system has another way than inotify.
        """
        import ctypes

        try:
            libc = ctypes.CDLL(None, use_errno=True)
            init, add = libc.inotify_init1, libc.inotify_add_watch
        except (OSError, AttributeError):
            return ""
        fd = init(os.O_CLOEXEC | os.O_NONBLOCK)
        if fd < 0:
            return _limit(ctypes.get_errno())
        try:
            return "" if add(fd, os.fsencode(folder), _IN_MODIFY) >= 0 else _limit(ctypes.get_errno())
        finally:
            os.close(fd)

    def limit(self, name: str) -> int:
        """A limit of the system, by its name as `sysctl` has it; 0 where it is not told."""
        try:
            with open(f"/proc/sys/{name.replace('.', '/')}", encoding="ascii") as file:
                return int(file.read())
        except (OSError, ValueError):
            return 0

    def lockers(self, path: str) -> list[int] | None:
        """Processes that hold the kernel lock of a file; None: it cannot be told. A file that is missing has none."""
        if not os.path.exists(_LOCKS):
            return None
        try:
            fd = os.open(path, _LOOK)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            return None
        try:
            return lockers(fd)
        finally:
            os.close(fd)

    def is_stopped(self, pid: int) -> bool:
        """Whether that process stands still, by SIGSTOP or a debugger."""
        try:
            found = read_stat(pid)
        except (OSError, ValueError):
            return False
        return found is not None and found.state in ("T", "t")

    def names(self, folder: str) -> list[str]:
        """What lies in a folder; nothing where it is missing, or is none. Raises OSError."""
        try:
            fd = os.open(folder, _LOOK | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def read(self, path: str, bytes_max: int) -> bytes | None:
        """The start of a plain file; None: there is none. b"": what stands there is none, or cannot be read."""
        try:
            fd = os.open(path, _LOOK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return b""
        try:
            return os.read(fd, bytes_max) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        except OSError:
            return b""
        finally:
            os.close(fd)

    def here(self) -> dict[str, Any]:
        """Who asks, for people: machine's name, number of the user, process."""
        return {"host": os.uname().nodename, "uid": os.geteuid(), "pid": os.getpid()}


def _limit(number: int) -> str:
    return _LIMITS.get(number) or os.strerror(number)
