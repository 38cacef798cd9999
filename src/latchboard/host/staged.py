"""Staged write: new content beside a file, which takes the file's place in one step or not at all.

Law 1. Everything that can fail for want of space or rights happens while staging; `publish` is one rename.
Law 2. Whatever happens, the file is its old content or its new content.
Law 3. The folder is used through one descriptor, so that it cannot be exchanged between staging and publishing.

Guarantees that the bytes are on the disk before the file shows them. Does not keep hard links together: the other names
of the file keep the old content. A process killed while staging leaves `.<name>.latchboard-<random>.tmp` behind, which
nothing reads.

Protocol: protocol/lock.md, "Guarded write".
"""

from __future__ import annotations

import errno
import os
from stat import S_IMODE, S_ISREG

from latchboard.errors import UsageError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_NAME_BYTES_MAX = 255
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class Staged:
    """New content of one file, written and not yet published. Used by one thread.

    Attributes:
        name: Canonical name of the file that `publish` replaces, as resolved when it was staged. Compare it with the
            name that is
            locked: a symbolic link may have been turned in between.
        path: Absolute path of that file, symbolic links resolved.
        size_bytes: Length of the new content.
    """

    __slots__ = ("_folder", "_last", "_temporary", "name", "path", "size_bytes")

    def __init__(self, path: str, name: str, folder: int, temporary: str, size_bytes: int) -> None:
        self.path = path
        self.name = name
        self.size_bytes = size_bytes
        self._last = os.path.basename(path)
        self._folder = folder
        self._temporary = temporary

    def publish(self) -> None:
        """Let the new content take the file's place: one rename.

        Raises:
            UsageError: It was published or discarded before.
            StoreError: The system refused; the file is as it was and the staged content is discarded.
        """
        if not self._temporary:
            raise UsageError(f"{self.path} was published or discarded before")
        try:
            os.replace(self._temporary, self._last, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""
        except OSError as exc:
            raise from_os_error(exc, "replace", self.path) from exc
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was staged, if it is still there. Harmless after `publish` and when repeated."""
        temporary, self._temporary = self._temporary, ""
        folder, self._folder = self._folder, -1
        if folder < 0:
            return
        try:
            if temporary:
                os.unlink(temporary, dir_fd=folder)
        except OSError:  # somebody tidied up, or the disk is gone: nothing reads that file
            pass
        finally:
            os.close(folder)

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.discard()


def stage(path: str, name: str, status: os.stat_result | None, data: bytes) -> Staged:
    """Write `data` beside `path`, an absolute path without symbolic links; `status` is that of the file there, if any.

    Raises:
        UsageError: There is a device or a pipe, or no folder to write in.
        StoreError: The system refused; nothing is left behind.
    """
    _check(path, status)
    folder_path, last = os.path.split(path)
    try:
        folder = os.open(folder_path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageError(f"there is no folder {folder_path}", hint="make the folder first") from exc
    except OSError as exc:
        raise from_os_error(exc, "open", folder_path) from exc
    staged = Staged(path, name, folder, _temporary_name(last), len(data))
    try:
        _write(folder, staged._temporary, status, data)
    except OSError as exc:
        staged.discard()
        raise from_os_error(exc, "write beside", path) from exc
    except BaseException:
        staged.discard()
        raise
    return staged


def _check(path: str, status: os.stat_result | None) -> None:
    if status is None:
        return
    if not S_ISREG(status.st_mode):
        raise UsageError(f"{path} is no regular file: replacing it would turn a device or a pipe into a file")
    if not os.access(path, os.W_OK):  # a rename would not ask
        exc = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise from_os_error(exc, "write", path) from exc


def _temporary_name(last: str) -> str:
    ending = f".latchboard-{os.urandom(8).hex()}.tmp"
    kept = last.encode("utf-8", "surrogateescape")[: _NAME_BYTES_MAX - 1 - len(ending)]
    return f".{kept.decode('utf-8', 'ignore')}{ending}"


def _write(folder: int, temporary: str, status: os.stat_result | None, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o666 if status is None else 0o600, dir_fd=folder)
    try:
        if status is not None:
            _take_after(fd, status)
        _allocate(fd, len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        getattr(os, "fdatasync", os.fsync)(fd)
    finally:
        os.close(fd)


def _take_after(fd: int, status: os.stat_result) -> None:
    """Give the new file the owner (as root), the group (where allowed) and the mode of the old one."""
    new = os.fstat(fd)
    owner = status.st_uid if os.geteuid() == 0 and status.st_uid != new.st_uid else -1
    group = status.st_gid if status.st_gid != new.st_gid else -1
    mode = S_IMODE(status.st_mode)
    if owner != -1 or group != -1:
        try:
            os.fchown(fd, owner, group)
        except PermissionError:  # a group we are not in: its rights must not go to another group, nor setgid
            mode &= ~0o2070
    os.fchmod(fd, mode)  # after fchown, which clears setuid


def _allocate(fd: int, size: int) -> None:
    """Reserve the space: finds a full disk early, and spares ext4 a flush of 1.5 ms at the rename (auto_da_alloc)."""
    if size == 0 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as exc:
        if exc.errno not in _NOT_SUPPORTED:
            raise
