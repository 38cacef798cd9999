"""Snapshot: what was read of the files, all of one revision, with no write.

One key is one file read without the guard, if nothing lay behind `applied` meanwhile. More than that, or beside a busy
writer or a dead one, is read under the shared guard; what a dead writer left behind `applied` is laid over the files in
memory.

Protocol: protocol/store.md, "Reading".
"""

from __future__ import annotations

import os

from latchboard.errors import MalformedRecord, ProtocolError, UsageError
from latchboard.store.checks import check_collection
from latchboard.store.files import guard, journal, layout, recovery
from latchboard.store.files.view import FileView
from latchboard.store.port import TRACE_PREFIX, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.files.folder import Folder
    from latchboard.store.files.guard import Header
    from latchboard.store.port import Entries


_TRIES = 3


class FileSnapshot:
    """The keys and collections that were asked for.

    Attributes:
        revision: Of the last commit that it has.
    """

    __slots__ = ("_by_key", "_by_path", "_collections", "_damaged", "_values", "revision")

    def __init__(self, revision: int) -> None:
        """Empty; see `read_one` and `read_many`."""
        self.revision = revision
        self._values: dict[str, dict[str, Any] | MalformedRecord | None] = {}
        self._collections: dict[str, Entries] = {}
        self._damaged: dict[str, list[MalformedRecord]] = {}
        self._by_key: dict[str, dict[str, dict[str, Any]]] = {}  # of a collection; made when a key of it is asked for
        self._by_path: dict[str, dict[object, MalformedRecord]] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        if key not in self._values:
            return self._get_from_collection(key)
        value = self._values[key]
        if isinstance(value, MalformedRecord):
            raise value
        return value

    def _get_from_collection(self, key: str) -> dict[str, Any] | None:
        for prefix in self._collections:
            if belongs(key, prefix):
                break
        else:
            raise UsageError(f"{key} was not read", hint="name it in the call of read")
        if prefix not in self._by_key:
            self._by_key[prefix] = dict(self._collections[prefix])
            self._by_path[prefix] = {exc.fields.get("path"): exc for exc in reversed(self._damaged[prefix])}
        damaged = self._by_path[prefix].get(layout.record(key)) if self._by_path[prefix] else None
        if damaged is not None:
            raise damaged
        return self._by_key[prefix].get(key)

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        if prefix not in self._collections:
            raise UsageError(f"{prefix} was not read", hint="name it in the call of read")
        found = self._damaged[prefix]
        if found and damaged is None:
            raise found[0]
        if damaged is not None:
            damaged.extend(found)
        return self._collections[prefix]

    def is_damaged(self, key: str) -> bool:
        """Whether a key that was asked for has a record that cannot be read."""
        return isinstance(self._values[key], MalformedRecord)

    def load(self, view: FileView | None, wanted: tuple[str, ...]) -> FileSnapshot:
        """Read everything that is wanted; without a view there is nothing."""
        for name in wanted:
            layout.record(name)  # refuses a key that cannot be kept
            if name.endswith("/"):
                damaged = self._damaged[name] = []
                self._collections[name] = view.scan(name, damaged=damaged) if view else []
            try:
                self._values[name] = view.get(name) if view else None
            except MalformedRecord as exc:
                self._values[name] = exc
        return self


def read_one(folder: Folder, key: str) -> FileSnapshot | None:
    """One key without the guard; None when it must be read under it."""
    layout.record(key)  # refuses a key that cannot be kept
    for _ in range(_TRIES):
        header = guard.peek_header(folder.guard)
        if header is None:
            return None
        if folder.base != header.base and not folder.open_journal(header.base):
            return None
        snapshot = FileSnapshot(header.last).load(FileView(folder, header.last), (key,))
        again = guard.peek_header(folder.guard)
        if os.fstat(folder.journal).st_size == header.applied and again is not None and again.base == header.base:
            return None if snapshot.is_damaged(key) else snapshot
    return None


def read_many(folder: Folder, wanted: tuple[str, ...]) -> FileSnapshot:
    """Everything that is wanted; the guard is held shared."""
    header = guard.read_header(folder.guard)
    if header is None:
        _refuse_lost_header(folder)
        return FileSnapshot(0).load(None, wanted)
    overlay, last = _unapplied(folder, header)
    return FileSnapshot(last).load(FileView(folder, last, overlay=overlay), wanted)


def _refuse_lost_header(folder: Folder) -> None:
    """No header and no commits: the store is being made. No header but commits: its records must not look free."""
    if any(recovery.entries(folder, b) or recovery.previous(folder, b) > 0 for b in recovery.bases(folder)):
        raise ProtocolError(
            f"the header of {folder.guard_path} is gone", hint="the next commit makes it again from the journals"
        )


def _unapplied(folder: Folder, header: Header) -> tuple[dict[str, object], int]:
    """Changes in whole lines behind `applied`, and the revision they lead to."""
    overlay: dict[str, object] = {}
    last = header.last
    if folder.base != header.base:
        folder.open_journal(header.base)
    if folder.journal < 0 or (size := os.fstat(folder.journal).st_size) <= header.applied:
        return overlay, last
    for _, entry in journal.whole_lines(os.pread(folder.journal, size - header.applied, header.applied)):
        overlay.update((key, value) for key, value in entry["puts"].items() if not key.startswith(TRACE_PREFIX))
        overlay.update(dict.fromkeys(entry["deletes"]))
        last = entry["revision"]
    return overlay, last
