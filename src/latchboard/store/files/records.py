"""Record files: read, stage, publish, delete, below one folder descriptor.

A file is the value with `key` and `mod_revision` in front, so that it says itself what it is. Every open is O_NOFOLLOW,
O_CLOEXEC and does not block, so that a symbolic link, a FIFO, a socket or a folder planted in a record's place is a
record that cannot be read, and not a trap (failures 3.26). Replacing renames a finished file over the old one; its
blocks are allocated first, which makes the rename 15 times cheaper on ext4 (0.11 instead of 1.8 ms;
docs/decisions/0005).

Protocol: protocol/layout.md, "Record files".
"""

from __future__ import annotations

import errno
import os

from latchboard.codec import decode, quote
from latchboard.errors import MalformedRecord, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_CHUNK_BYTES = 65536
_LONG_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = 4096
RECORD_BYTES_MAX = 256 * 1024 * 1024
"""256 times what a value may have by default: what is longer is no record of ours, and would fill the memory."""
JOURNAL_BYTES_MAX = 1024 * 1024 * 1024
"""128 times what a journal has when the next one is begun."""
_PLANTED = {
    errno.EISDIR: "a folder stands in its place",
    errno.ELOOP: "a symbolic link stands in its place",
    errno.ENXIO: "a socket stands in its place",
    errno.EOPNOTSUPP: "a socket stands in its place",
}
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def pack(key: str, revision: int, text: str) -> bytes:
    """The file of a record whose value is the JSON object `text`."""
    comma = "," if len(text) > 2 else ""
    return f'{{"key":{quote(key)},"mod_revision":{revision}{comma}{text[1:]}\n'.encode()


def unpack(key: str | None, data: bytes, path: str) -> tuple[str, dict[str, Any], int]:
    """(key, value, revision) in a record file; `key` is the one expected, None where any will do.

    Raises:
        MalformedRecord: Not JSON, no key of its own, or another record's.
    """
    try:
        value = decode(data)
        found = value.pop("key")
        revision = value.pop("mod_revision")
    except (ValueError, KeyError) as exc:
        raise malformed(key or path, path, f"no record: {exc}" if data else "the file is empty") from exc
    if not isinstance(found, str) or (key is not None and found != key):
        raise malformed(key or path, path, f"it says that it is the record {found!r}")
    if not isinstance(revision, int):
        raise malformed(found, path, f"{revision!r} is no revision")
    return found, value, revision


def malformed(key: str, path: str, reason: str) -> MalformedRecord:
    """The error for a record that cannot be read."""
    which = path if key == path else f"{key} in {path}"
    return MalformedRecord(
        f"the record {which} cannot be read: {reason}",
        hint="it counts as held, never as free: `latchboard doctor` tells what mends it",
        key=key,
        path=path,
        reason=reason,
    )


def read(folder: int, path: str, *, bytes_max: int = RECORD_BYTES_MAX) -> bytes | None:
    """The bytes of a file; None when there is none.

    Raises:
        StoreError: It is there but cannot be read.
        MalformedRecord: Something that is no file stands in its place, or it has more than `bytes_max`.
    """
    try:
        fd = os.open(path, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unreadable(exc, path) from exc
    try:
        data = os.read(fd, _CHUNK_BYTES)
        return data if len(data) < _CHUNK_BYTES else _all(fd, data, path, bytes_max)
    except OSError as exc:
        raise _unreadable(exc, path) from exc
    finally:
        os.close(fd)


def _all(fd: int, data: bytes, path: str, bytes_max: int) -> bytes:
    """The rest of a long file behind `data`."""
    found, left = [data], bytes_max - len(data)
    if os.fstat(fd).st_size <= bytes_max:  # else not even so much is read
        while left >= 0 and (more := os.read(fd, min(left + 1, _LONG_BYTES))):
            found.append(more)
            left -= len(more)
        if left >= 0:
            return b"".join(found)
    raise malformed(path, path, f"it has more than {bytes_max} bytes")


def head(folder: int, path: str) -> bytes:
    """The first 4096 bytes of a file; nothing where there is none, or no file. Raises OSError."""
    try:
        fd = os.open(path, _READ, dir_fd=folder)
    except OSError as exc:
        if exc.errno == errno.ENOENT or exc.errno in _PLANTED:
            return b""
        raise
    try:
        return os.read(fd, _HEAD_BYTES)
    except IsADirectoryError:
        return b""
    finally:
        os.close(fd)


def _unreadable(exc: OSError, path: str) -> Exception:
    reason = _PLANTED.get(exc.errno or 0)
    return malformed(path, path, reason) if reason else from_os_error(exc, "read", path)


def stage(folder: int, path: str, data: bytes, mode: int, *, replaces: bool = True) -> str:
    """Write the file that is to stand at `path` beside it; returns its name. Raises OSError and leaves nothing.

    `replaces`: there is a file already, so that the rename is cheap only with allocated blocks.
    """
    temporary = f"{path}.tmp"
    try:
        fd = _open_new(folder, temporary, mode)
    except FileExistsError:  # of a writer that was killed; we have the guard, so nobody else uses it
        try:
            os.unlink(temporary, dir_fd=folder)
        except (IsADirectoryError, PermissionError):
            set_aside(folder, temporary)
        fd = _open_new(folder, temporary, mode)
    try:
        if replaces:
            allocate(fd, len(data))
        write_all(fd, data)
    except OSError:
        discard(folder, temporary)
        raise
    finally:
        os.close(fd)
    return temporary


def publish(folder: int, temporary: str, path: str) -> None:
    """Rename a staged file to its place."""
    os.rename(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)


def delete(folder: int, path: str) -> None:
    """Remove a file; it may be gone already."""
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return


def discard(folder: int, path: str) -> None:
    """Remove a file that nobody reads; if it cannot be removed, it stays."""
    try:
        os.unlink(path, dir_fd=folder)
    except OSError:
        return


def set_aside(folder: int, path: str) -> None:
    """Rename what stands in a file's place and cannot be replaced: a folder. Raises OSError."""
    os.rename(path, f"{path}.aside.{os.urandom(4).hex()}", src_dir_fd=folder, dst_dir_fd=folder)


def exists(folder: int, path: str) -> bool:
    """Whether a file stands at `path`.

    Raises:
        MalformedRecord: A folder stands there: it could neither be replaced nor removed.
        StoreError: It cannot be told.
    """
    try:
        mode = os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise from_os_error(exc, "look at", path) from exc
    if mode & 0o170000 == 0o040000:
        raise malformed(path, path, _PLANTED[errno.EISDIR])
    return True


def make_folders(folder: int, path: str, mode: int) -> None:
    """Make the folders above `path`; those that are there stay."""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        made = "/".join(parts[:depth])
        try:
            if mode & 0o060:
                _make_shared(folder, made)
            else:
                os.mkdir(made, 0o700, dir_fd=folder)
        except FileExistsError:
            continue


def _make_shared(folder: int, made: str) -> None:
    """A folder that is open to the group from the moment it is there. Raises FileExistsError."""
    try:
        os.stat(made, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), made)
    temporary = f"{made}.{os.urandom(4).hex()}.tmp"
    os.mkdir(temporary, 0o700, dir_fd=folder)
    try:
        os.chmod(temporary, 0o2770, dir_fd=folder)  # the umask must not shut the group out
        os.rename(temporary, made, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as exc:
        os.rmdir(temporary, dir_fd=folder)
        if exc.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), made) from exc
        raise


def write_all(fd: int, data: bytes) -> None:
    """Write every byte. Raises OSError."""
    written = os.write(fd, data)
    while written < len(data):
        more = os.write(fd, data[written:])
        if not more:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += more


def _open_new(folder: int, path: str, mode: int) -> int:
    try:
        fd = os.open(path, _CREATE, mode, dir_fd=folder)
    except FileNotFoundError:
        make_folders(folder, path, mode)
        fd = os.open(path, _CREATE, mode, dir_fd=folder)
    if mode & 0o060:
        try:
            os.fchmod(fd, mode)  # a shared folder: the umask must not shut the group out
        except OSError:
            os.close(fd)
            raise
    return fd


def allocate(fd: int, size: int) -> None:
    """Have blocks for `size` bytes now, so that a rename over another file need not wait for them. Raises OSError."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as exc:
        if exc.errno not in _CANNOT_ALLOCATE:
            raise
