"""Record files: read, create, replace, delete, below one folder descriptor.

A file is the value with `key` and `mod_revision` in front, so that it says itself what it is. Every open is O_NOFOLLOW, O_CLOEXEC and
does not block, so that a symbolic link, a FIFO or a folder planted in a record's place is an error and not a trap (failures 3.26).
Replacing renames a finished file over the old one; its blocks are allocated first, which makes the rename 15 times cheaper on ext4
(0.11 instead of 1.8 ms; docs/decisions/0005).

Protocol: protocol/layout.md, "Record files".
"""

from __future__ import annotations

import os

from latchboard.codec import decode, encode
from latchboard.errors import MalformedRecord, UsageError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_CHUNK_BYTES = 65536
_RESERVED = ("key", "mod_revision")


def pack(key: str, revision: int, text: str) -> bytes:
    """The file of a record whose value is the JSON object `text`."""
    comma = "," if len(text) > 2 else ""
    return f'{{"key":{encode(key)},"mod_revision":{revision}{comma}{text[1:]}\n'.encode()


def unpack(key: str | None, data: bytes, path: str) -> tuple[str, dict[str, Any]]:
    """(key, value) in a record file; `key` is the one expected, None where any will do.

    Raises:
        MalformedRecord: Not JSON, no key of its own, or another record's.
    """
    try:
        value = decode(data)
        found = value.pop("key")
        value.pop("mod_revision")
    except (ValueError, KeyError) as exc:
        raise malformed(key or path, path, f"no record: {exc}" if data else "the file is empty") from exc
    if not isinstance(found, str) or (key is not None and found != key):
        raise malformed(key or path, path, f"it says that it is the record {found!r}")
    return found, value


def malformed(key: str, path: str, reason: str) -> MalformedRecord:
    """The error for a record that cannot be read."""
    return MalformedRecord(
        f"the record {key} in {path} cannot be read: {reason}",
        hint="it counts as held, never as free: look at the file, then `latchboard break` the lock or restore the file",
        key=key,
        path=path,
        reason=reason,
    )


def check_value(key: str, value: dict[str, Any], bytes_max: int) -> str:
    """The value as JSON text. Raises UsageError for what cannot be kept."""
    try:
        text = encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise UsageError(f"the value of {key} cannot be written as JSON: {exc}", key=key) from exc
    if len(text) > bytes_max and len(text.encode()) > bytes_max:
        raise UsageError(f"the value of {key} is longer than {bytes_max} bytes", hint="put it into a file", key=key)
    if value.keys() & _RESERVED:
        raise UsageError(f"the value of {key} may not have the fields {' and '.join(_RESERVED)}", key=key)
    return text


def read(folder: int, path: str) -> bytes | None:
    """The bytes of a file; None when there is none.

    Raises:
        StoreError: It is there but cannot be read.
        MalformedRecord: A folder stands in its place.
    """
    try:
        fd = os.open(path, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    try:
        data = os.read(fd, _CHUNK_BYTES)
        if len(data) == _CHUNK_BYTES:
            while more := os.read(fd, _CHUNK_BYTES):
                data += more
        return data
    except IsADirectoryError as exc:
        raise malformed(path, path, "a folder stands in its place") from exc
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    finally:
        os.close(fd)


def create(folder: int, path: str, data: bytes, mode: int) -> None:
    """Write a new file. Raises OSError; a file that could not be written whole is removed again."""
    fd = _open_new(folder, path, mode)
    try:
        _write_all(fd, data)
    except OSError:
        os.unlink(path, dir_fd=folder)
        raise
    finally:
        os.close(fd)


def stage(folder: int, path: str, data: bytes, mode: int) -> str:
    """Write the file that is to replace `path` beside it; returns its name. Raises OSError and leaves nothing."""
    temporary = f"{path}.tmp"
    try:
        fd = _open_new(folder, temporary, mode)
    except FileExistsError:
        os.unlink(temporary, dir_fd=folder)  # of a writer that was killed; we have the guard, so nobody else uses it
        fd = _open_new(folder, temporary, mode)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, len(data))
        _write_all(fd, data)
    except OSError:
        os.unlink(temporary, dir_fd=folder)
        raise
    finally:
        os.close(fd)
    return temporary


def publish(folder: int, temporary: str, path: str) -> None:
    """Rename a staged file over the one it replaces."""
    os.rename(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)


def delete(folder: int, path: str) -> None:
    """Remove a file; it may be gone already."""
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return


def exists(folder: int, path: str) -> bool:
    """Whether anything stands at `path`."""
    try:
        os.stat(path, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _open_new(folder: int, path: str, mode: int) -> int:
    try:
        fd = os.open(path, _CREATE, mode, dir_fd=folder)
    except FileNotFoundError:
        make_folders(folder, path, mode)
        fd = os.open(path, _CREATE, mode, dir_fd=folder)
    if mode & 0o060:
        os.fchmod(fd, mode)  # a shared folder: the umask must not shut the group out
    return fd


def make_folders(folder: int, path: str, mode: int) -> None:
    """Make the folders above `path`; those that are there stay."""
    parts = path.split("/")[:-1]
    folder_mode = 0o2770 if mode & 0o060 else 0o700
    for depth in range(1, len(parts) + 1):
        made = "/".join(parts[:depth])
        try:
            os.mkdir(made, folder_mode, dir_fd=folder)
        except FileExistsError:
            continue
        if mode & 0o060:
            os.chmod(made, folder_mode, dir_fd=folder)


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
