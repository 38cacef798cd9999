"""Queue shelf: what was last written to a queue file, kept in the store's folder, and the turn of whoever is at it.

Law 1. What is about to be written is noted before, and settled after: who was killed in between has left both, and the
file itself says which of them it is; where somebody has edited it since, either may be.
Law 2. What is damaged is as good as not there: then whatever differs is a conflict, and nothing is guessed.

Protocol: protocol/queue_file.md, "What is kept".
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import contextmanager
from hashlib import sha256

from latchboard.errors import StoreBusy, from_os_error
from latchboard.host import staged
from latchboard.host.project_file import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

FOLDER = "queue_file"
_POLL_S = 0.01
_SAFE = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class QueueShelf:
    """The shelf of one file.

    Args:
        store: The store's folder, absolute.
        path: Of the file, absolute.
        make_store: Makes the store's folder; called when it is missing.
        is_shared: Others of the group use the store.
    """

    __slots__ = ("_folder", "_is_shared", "_make_store", "_name")

    def __init__(self, store: str, path: str, make_store: Callable[[], object], *, is_shared: bool = False) -> None:
        self._folder = f"{store}/{FOLDER}"
        self._name = sha256(os.fsencode(path)).hexdigest()[:16]
        self._make_store = make_store
        self._is_shared = is_shared

    @contextmanager
    def turn(self, wait_s_max: float) -> Iterator[None]:
        """See queue_file/port.py."""
        path = self._path("turn")
        try:
            self._make_folder()
            fd = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
        except OSError as exc:
            raise from_os_error(exc, "lock", path) from exc
        try:
            self._lock(fd, path, wait_s_max)
            try:
                yield
            finally:
                _unlock(fd)
        finally:
            os.close(fd)

    def _lock(self, fd: int, path: str, wait_s_max: float) -> None:
        import fcntl

        deadline = time.monotonic() + wait_s_max
        while True:
            try:
                if self._is_shared and os.fstat(fd).st_uid == os.geteuid():
                    os.fchmod(fd, 0o660)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as exc:
                if exc.errno not in (errno.EAGAIN, errno.EACCES):
                    raise from_os_error(exc, "lock", path) from exc
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"another process has been at the queue file for {wait_s_max:g} s",
                    hint=f"a stopped one has it: fuser {path}",
                    waited_s=wait_s_max,
                    pids=[],
                )
            time.sleep(_POLL_S)

    def load(self, data: bytes | None) -> list[dict[str, Any]]:
        """See queue_file/port.py."""
        if data is None:
            return []
        old, new = self._read("base"), self._read("next")
        if new is not None and new["sha256"] == sha256(data).hexdigest():
            return [new["base"]]
        return [one["base"] for one in (old, new) if one is not None]

    def note(self, written: dict[str, Any], data: bytes, *, unwritten: dict[str, Any] | None) -> None:
        """See queue_file/port.py."""
        if unwritten is not None:
            self._write("base", {"format": 1, "sha256": "", "base": unwritten})
        self._write("next", {"format": 1, "sha256": sha256(data).hexdigest(), "base": written})

    def settle(self) -> None:
        """See queue_file/port.py."""
        try:
            os.replace(self._path("next"), self._path("base"))
        except OSError as exc:
            raise from_os_error(exc, "rename", self._path("next")) from exc

    def seen(self) -> tuple[tuple[int, ...], int]:
        """See queue_file/port.py."""
        found = self._load("seen")
        mark, revision = found.get("mark"), found.get("revision")
        return (tuple(mark), revision) if isinstance(mark, list) and isinstance(revision, int) else ((), 0)

    def see(self, mark: tuple[int, ...], revision: int) -> None:
        """See queue_file/port.py."""
        if self.seen() != (mark, revision):
            self._write("seen", {"mark": [*mark], "revision": revision})

    # -- files -------------------------------------------------------------------------------------------------------

    def _path(self, what: str) -> str:
        return f"{self._folder}/{self._name}.{what}"

    def _make_folder(self) -> None:
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make_store()
            os.mkdir(self._folder, 0o700)
        if self._is_shared:
            os.chmod(self._folder, 0o2770)

    def _load(self, what: str) -> dict[str, Any]:
        """What is in there; nothing where it is not there or no JSON. Raises StoreError: just now nobody can tell."""
        path = self._path(what)
        try:
            fd = os.open(path, os.O_RDONLY | _SAFE)
            with open(fd, "rb") as file:
                found = json.loads(file.read())
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise from_os_error(exc, "read", path) from exc
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _read(self, what: str) -> dict[str, Any] | None:
        found = self._load(what)
        base = found.get("base")
        if found.get("format") != 1 or not isinstance(found.get("sha256"), str) or not isinstance(base, dict):
            return None
        maps = [base.get(name) for name in ("tasks", "open", "limits")]
        return found if all(isinstance(one, dict) for one in maps) else None

    def _write(self, what: str, value: dict[str, Any]) -> None:
        path = self._path(what)
        try:
            sweep(path)
            status = os.lstat(path) if os.path.lexists(path) else None
        except OSError as exc:
            raise from_os_error(exc, "write", path) from exc
        with staged.stage(path, what, status, json.dumps(value, separators=(",", ":")).encode()) as new:
            new.publish()
        if status is None:
            os.chmod(path, 0o660 if self._is_shared else 0o600)


def _unlock(fd: int) -> None:
    """Not by closing alone: a child that was forked meanwhile has the descriptor, too."""
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_UN)
