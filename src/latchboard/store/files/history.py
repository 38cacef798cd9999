"""History: what a store in a folder offers to who replays it: where its commits are, and what came right before one.

Protocol: protocol/board.md, "Replay".
"""

from __future__ import annotations

import os

from latchboard.errors import from_os_error
from latchboard.store.files import guard, journal, recovery
from latchboard.store.files.folder import Folder
from latchboard.store.files.follow import Follower
from latchboard.store.files.watch import changes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.files.store import FileStore
    from latchboard.store.port import Change

_LINE_BYTES = 4096


class History:
    """The commits of one store. Threads may share one."""

    __slots__ = ("_store",)

    def __init__(self, store: FileStore) -> None:
        """Nothing is opened yet."""
        self._store = store

    def follow(self, after: int) -> Follower:
        """Everything after a revision; 0: from the oldest change kept."""
        return Follower(self._store.path, after=after)

    def marks(self, count: int) -> list[tuple[int, str]]:
        """Revision and time of at most `count` commits, evenly spread over all that can be replayed, oldest first.

        The first call reads every journal that is kept; later ones what came since.
        """
        return self._store.past().marks(count)

    def back(self, until: int, span_bytes: int) -> list[Change]:
        """The commits before and at revision `until`, without a gap, about `span_bytes` of them.

        Returns:
            Their changes, oldest first, those of `until` always; none when there is no such commit.

        Raises:
            StoreError: The journals cannot be read.
        """
        try:
            folder = Folder(self._store.path, mode=0o600, writing=False)
        except FileNotFoundError:
            return []
        try:
            entries = _back(folder, until, span_bytes)
        except OSError as exc:
            raise from_os_error(exc, "read the journals in", self._store.path) from exc
        finally:
            folder.close()
        return [change for entry in entries for change in changes_of(entry, "")]


def _back(folder: Folder, last: int, left_bytes: int) -> list[dict[str, Any]]:
    """The commits; from each journal to the one before it only where that one ends with its `previous`."""
    header = guard.peek_header(folder.guard)
    found: list[dict[str, Any]] = []
    for base in reversed([b for b in recovery.bases(folder) if header is not None and b <= min(header.base, last)]):
        if last < base:
            continue  # nothing was committed in it
        if not folder.open_journal(base) or not (end := _end_of_line(folder.journal, last - base)):
            break
        start = max(0, min(end - left_bytes, last - base))
        entries, has_gap = _last_whole(os.pread(folder.journal, end - start, start), is_cut=start > 0)
        if not entries or entries[-1]["revision"] != last:
            break
        found = entries + found
        left_bytes -= end
        if has_gap or left_bytes <= 0:
            break
        last = recovery.previous(folder, base)
    return found


def _end_of_line(fd: int, offset: int) -> int:
    """The offset behind the line that begins at one; 0: there is none."""
    size = _LINE_BYTES
    while True:
        data = os.pread(fd, size, offset)
        at = data.find(b"\n")
        if at >= 0 or len(data) < size:
            return offset + at + 1 if at >= 0 else 0
        size *= 2


def _last_whole(data: bytes, *, is_cut: bool) -> tuple[list[dict[str, Any]], bool]:
    """The commits at the end of `data` behind the last line that is not whole, and whether there is such a one.

    In front of them is the journal's first line; or, where it `is_cut`, a part of a line, and the commit after which a
    board that is read now would begin.
    """
    lines = data.split(b"\n")[:-1]
    found: list[dict[str, Any]] = []
    has_gap = False
    for line in lines[2 if is_cut else 1 :] or lines[-1:]:
        entry = journal.unpack(line)
        if entry is None or "revision" not in entry:
            found, has_gap = [], True
        else:
            found.append(entry)
    return found, has_gap
