"""Sweep: what killed processes leave in a store's folder besides records: FIFOs nobody listens to, half-written files.

Neither is in anybody's way: a writer replaces the temporary file it finds, and nobody rings a bell without a listener.

Protocol: protocol/layout.md, "Leftovers".
"""

from __future__ import annotations

import errno
import os
import stat
import time

from latchboard.errors import from_os_error
from latchboard.store.files import layout, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.store.files.store import FileStore

AGE_S_MIN = 60.0
"""What is younger may be somebody's who is just at it."""

_DEPTH_MAX = 2  # messages/<owner>/<file>
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_RING = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class Sweeper:
    """Removes leftovers from one store."""

    __slots__ = ("_store",)

    def __init__(self, store: FileStore) -> None:
        self._store = store

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Remove leftovers that are older than `AGE_S_MIN` seconds; their names, relative to the folder.

        Files go under the guard: then no writer is in the middle of one.

        Raises:
            StoreError: The folder cannot be read or written.
        """
        try:
            folder = os.open(self._store.path, _LOOK)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise from_os_error(exc, "open", self._store.path) from exc
        try:
            bells, files = _deaf_bells(folder), _temporary_files(folder)
            if not dry_run:
                for name in bells:
                    records.delete(folder, name)
                if files:
                    self._store.transact(lambda _: None, who="cleanup", effect=lambda: _delete(folder, files))
        except OSError as exc:
            raise from_os_error(exc, "sweep", self._store.path) from exc
        finally:
            os.close(folder)
        return [*bells, *files]


def _delete(folder: int, names: list[str]) -> None:
    for name in names:
        if _is_old(folder, name):
            records.delete(folder, name)
        elif _is_half_made(folder, name):
            os.rmdir(name, dir_fd=folder)


def _deaf_bells(folder: int) -> list[str]:
    """FIFOs that nobody has open for reading."""
    names = sorted(f"{layout.BELL_FOLDER}/{name}" for name, _ in _entries(folder, layout.BELL_FOLDER))
    return [name for name in names if _is_old(folder, name, kind=stat.S_IFIFO) and _is_deaf(folder, name)]


def _is_deaf(folder: int, name: str) -> bool:
    try:
        os.close(os.open(name, _RING, dir_fd=folder))
    except OSError as exc:
        return exc.errno == errno.ENXIO
    return False


def _temporary_files(folder: int) -> list[str]:
    """Temporary files of the store, wherever it writes records."""
    found = []
    unseen = ["."]
    while unseen:
        where = unseen.pop()
        for entry, is_folder in _entries(folder, where):
            name = entry if where == "." else f"{where}/{entry}"
            if is_folder and _is_half_made(folder, name):
                found.append(name)
            elif is_folder and name.count("/") < _DEPTH_MAX:
                unseen.append(name)
            elif entry.endswith(".tmp") and _is_old(folder, name):
                found.append(name)
    return sorted(found)


def _is_half_made(folder: int, name: str) -> bool:
    """Whether it is a folder for a group that never got its name (`<name>.<8 hex digits>.tmp`), old and empty."""
    _, _, word = name.removesuffix(".tmp").rpartition(".")
    if not name.endswith(".tmp") or len(word) != 8 or set(word) - set("0123456789abcdef"):
        return False
    return _is_old(folder, name, kind=stat.S_IFDIR) and not _entries(folder, name)


def _is_old(folder: int, name: str, *, kind: int = stat.S_IFREG) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_IFMT(status.st_mode) == kind and time.time() - status.st_mtime > AGE_S_MIN


def _entries(folder: int, where: str) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of everything in a folder; nothing if it is not there."""
    try:
        fd = os.open(where, _LOOK, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with os.scandir(fd) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    finally:
        os.close(fd)
