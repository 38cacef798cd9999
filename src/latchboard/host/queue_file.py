"""Queue file, on this machine: read with distrust, replaced whole, and only if it is what it was.

Law 1. Only a plain file is read or replaced, and no symbolic link is followed to it.
Law 2. Whoever reads it at any instant reads a whole one: the old, or the new.

Protocol: protocol/queue_file.md, "The file".
"""

from __future__ import annotations

import os
from stat import S_ISREG

from latchboard.errors import UsageError, from_os_error
from latchboard.host.project_file import ProjectFiles

BYTES_MAX = 64 * 1024 * 1024
"""Ten thousand tasks have some five; of a hundred thousand all are read."""


class QueueFile:
    """One file.

    Args:
        folder: Its folder, absolute; or the project's, for a file in a folder below.
        name: Its name in there.

    Attributes:
        path: Absolute.
    """

    __slots__ = ("_files", "_name", "path")

    def __init__(self, folder: str, name: str) -> None:
        self.path = f"{folder.rstrip('/')}/{name}"
        self._name = name
        self._files = ProjectFiles(folder, bytes_max=BYTES_MAX)

    def read(self) -> bytes | None:
        """See queue_file/port.py."""
        return self._files.read(self._name)

    def write(self, data: bytes, *, instead_of: bytes | None) -> None:
        """See queue_file/port.py."""
        if len(data) > BYTES_MAX:
            raise UsageError(f"{self.path} would be larger than {BYTES_MAX:,} bytes")
        self._files.write(self._name, data, instead_of=instead_of)

    def mark(self) -> tuple[int, ...]:
        """See queue_file/port.py."""
        try:
            status = os.lstat(self.path)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_any(path: str) -> bytes:
    """The bytes of a file that is read alone, also through a symbolic link. Raises UsageError, StoreError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as exc:
        raise UsageError(f"there is no file {path}", hint="name the queue file") from exc
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    try:
        if not S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(f"{path} is no plain file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as exc:
        raise from_os_error(exc, "read", path) from exc
    finally:
        os.close(fd)
    if len(data) > BYTES_MAX:
        raise UsageError(f"{path} is larger than {BYTES_MAX:,} bytes")
    return data
