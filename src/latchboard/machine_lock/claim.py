"""Claim: the two files of a machine lock, on the way to being locked.

Law 1. Nothing here waits. An attempt is a few system calls, so that a task may make it on its event loop and a
cancelled wait has nothing to take back.
Law 2. First the anchor, then the lock file; both are looked up again when both are locked, and opened anew when their
paths lead to other files by then (failures 3.3).

Protocol: protocol/machine_lock.md, "Acquire".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import machine_lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.lock_file import LockFile, LockFiles

_LOOKS_MAX = 20


def checked_path(files: LockFiles, path: object) -> str:
    """The absolute path of a lock file. Raises UsageError for what cannot be one."""
    text = repr(path)
    try:
        text = files.text(path)
        wrong = rules.wrong_with_path(text.encode("utf-8", "surrogateescape"))
    except (TypeError, UnicodeEncodeError):
        wrong = "it is no path"
    if wrong:
        shown = text if len(text) < 100 else text[:97] + "..."
        raise UsageError(f"{shown!r} cannot be the path of a lock file: {wrong}", hint="name a file, such as x.lock")
    return files.absolute(text)


class Claim:
    """One attempt after another to lock both files of one machine lock. Used by one thread at a time."""

    __slots__ = ("_anchor", "_anchor_path", "_file", "_files", "path")

    def __init__(self, files: LockFiles, path: str) -> None:
        self.path = path
        self._anchor_path = files.anchor(path)
        self._files = files
        self._anchor: LockFile | None = None
        self._file: LockFile | None = None

    def attempt(self) -> bool:
        """Look once; True: both are locked, and both are what their paths lead to. Raises StoreError."""
        for _ in range(_LOOKS_MAX):
            if self._anchor is None:
                self._anchor = self._files.open(self._anchor_path)
            if not self._anchor.try_lock():
                if self._anchor.place() == "same":
                    return False
                self._close_anchor()
                continue
            if self._file is None:
                self._file = self._files.open(self.path)
            if not self._file.try_lock():
                if self._file.place() == "same":
                    return False
                self._close_file()
                continue
            if self._file.place() != "same":
                self._close_file()
            elif self._anchor.place() != "same":
                self.close()  # both: who has the new anchor may be waiting for the lock file
            else:
                return True
        return False  # somebody replaces them faster than they can be opened: look again later

    def content(self) -> bytes:
        """What stands in the lock file; both are locked. Raises StoreError."""
        return self._file.read(rules.FILE_BYTES_MAX + 1) if self._file else b""

    def write(self, data: bytes) -> None:
        """Write the lock file; both are locked. Raises StoreError."""
        if self._file is not None:
            self._file.write(data)

    def is_exclusive(self) -> bool:
        """Whether the locks still keep everybody else out. Raises StoreError."""
        file, anchor = self._file, self._anchor
        return file is not None and anchor is not None and rules.is_exclusive(file.place(), anchor.place())

    @property
    def is_forked(self) -> bool:
        """Whether a fork has put it into another process."""
        return self._file is not None and self._file.is_forked

    def close(self) -> None:
        """Free whatever is locked. Harmless when repeated, and to be repeated when it was interrupted."""
        self._close_file()
        self._close_anchor()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()  # forgotten afterwards: else an interrupt between the two would leave it locked for ever
            self._file = None

    def _close_anchor(self) -> None:
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
