"""Journal end: the current journal, and how far it goes, for somebody who takes no lock; and its commits folded.

What is behind `applied` is either being written just now, and moves, or was left by a writer that died, and stands
still.

Protocol: protocol/store.md, "Recovery"; protocol/health.md, "Store".
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from latchboard.clock import parse_iso
from latchboard.errors import ProtocolError, UsageError
from latchboard.store.checks import check_key
from latchboard.store.files import guard, journal, layout, records
from latchboard.store.port import TRACE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from latchboard.store.files.guard import Header

    Latest = dict[str, tuple[int, Any]]

_STILL_S = 0.5
_MOVING_S_MAX = 1.0
_PAUSE_S = 0.02


class Rotated(Exception):
    """Another journal is the current one by now: look again."""


class Tail:
    """The current journal.

    Attributes:
        header: As it was last read.
        data: The journal, all of it.
        pids: Of processes that have had the guard, for a commit, while nothing moved for half a second.
    """

    __slots__ = ("_folder", "_guard", "data", "header", "pids")

    def __init__(self, folder: int, guard_fd: int, header: Header) -> None:
        self._folder = folder
        self._guard = guard_fd
        self.header = header
        self.pids: tuple[int, ...] = ()
        self.data = b""

    def wait_until_still(self) -> None:
        """Read it; what is behind `applied`, and who has the guard, counts where it stands still for half a second.

        Raises:
            Rotated: Another journal is the current one by now.
        """
        began_s = since_s = 0.0
        first: tuple[bytes, int, tuple[int, ...]] | None = None
        while True:
            seen = (self._look(), self._load(), tuple(guard.holders(self._guard, exclusive=True)))
            if self.is_over():
                raise Rotated
            now_s = monotonic()
            if seen[1] == self.header.applied and not seen[2]:
                return
            if seen != first:
                began_s = began_s or now_s
                first, since_s = seen, now_s
            if now_s - since_s >= _STILL_S:
                self.pids = seen[2]
                return
            if since_s - began_s > _MOVING_S_MAX:  # somebody commits all the time: nothing there is broken
                self.data = self.data[: self.header.applied]
                return
            sleep(_PAUSE_S)

    def _load(self) -> int:
        self.data = (
            records.read(self._folder, layout.journal(self.header.base), bytes_max=records.JOURNAL_BYTES_MAX) or b""
        )
        return len(self.data)

    def is_over(self) -> bool:
        """Whether another journal is the current one by now."""
        header = guard.peek_header(self._guard)
        return header is not None and header.base != self.header.base

    def _look(self) -> bytes:
        """What the header says now; it is taken over where the journal is still the same."""
        header = guard.peek_header(self._guard)
        if header is not None and header.base == self.header.base:
            self.header = header
        return b"" if header is None else header.pack()

    def on_its_way(self) -> Latest:
        """What stands behind `applied`: a commit that is in the records, perhaps, and not in the header yet."""
        found: Latest = {}
        self._load()
        for _, entry in journal.whole_lines(self.data[self.header.applied :]):
            take(entry, found)
        return found

    def advance(self, latest: Latest) -> None:
        """Take in what was committed since.

        Raises:
            Rotated: Another journal is the current one by now.
        """
        known = self.header.applied
        header = guard.peek_header(self._guard)
        if header is None or header.base != self.header.base:
            raise Rotated
        if header.applied == known:
            return
        self.header = header
        self._load()
        for _, entry in journal.whole_lines(self.data[known : header.applied]):
            take(entry, latest)


def last_commit_s(path: str) -> float | None:
    """When the last commit of the store in the folder `path` was made, by its own word, unix seconds; None: not known.

    Where its journal has none, when that was begun. One line is read, however long the journal is.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(f"{path}/{layout.GUARD}", flags)
        try:
            header = guard.peek_header(fd)
        finally:
            os.close(fd)
        if header is None:
            return None
        fd = os.open(f"{path}/{layout.journal(header.base)}", flags)
        try:
            begin = max(header.last - header.base, 0)
            line = os.pread(fd, max(header.applied - begin, 0), begin).split(b"\n", 1)[0]
        finally:
            os.close(fd)
        entry = journal.unpack(line)
        return None if entry is None else parse_iso(entry["at"])
    except (OSError, ProtocolError, ValueError, KeyError):
        return None


class Fold:
    """The last commit of each record, as far as the journals can be believed; fed with one journal after the other.

    A line that is lost may have been the last word about anything: what was said before it is forgotten.

    Attributes:
        latest: By key: revision and value (None: deleted).
    """

    __slots__ = ("_last", "latest")

    def __init__(self) -> None:
        self.latest: Latest = {}
        self._last = 0

    def take(self, entry: dict[str, Any] | None) -> None:
        """One line; None: it is damaged. The first of a journal names the last revision before it."""
        previous = None if entry is None else entry.get("previous")
        if entry is None or (type(previous) is int and previous > self._last):
            self.latest.clear()
        if entry is not None:
            revision = entry.get("revision")
            self._last = max(self._last, revision if type(revision) is int else 0)
            take(entry, self.latest)


def lines_of(data: bytes, base: int) -> Iterator[dict[str, Any] | None]:
    """Every finished line of the journal with this base; None for one that is damaged."""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        entry = journal.unpack(line)
        is_own = entry is not None and (number > 1 or entry.get("base") == base)
        yield entry if is_own else None


def take(entry: dict[str, Any], latest: Latest) -> None:
    """Fold one commit in; what is no commit of this format is left out."""
    revision, puts, deletes = entry.get("revision"), entry.get("puts"), entry.get("deletes")
    if type(revision) is not int or not isinstance(puts, dict) or not isinstance(deletes, list):
        return
    for key, value in [*puts.items(), *((key, None) for key in deletes)]:
        if not _is_key(key):
            continue
        latest[key] = (revision, value)


def _is_key(key: object) -> bool:
    """Whether it has a file."""
    if not isinstance(key, str):  # a line with a right checksum may still be anybody's
        return False
    try:
        check_key(key)
    except UsageError:
        return False
    return not key.startswith(TRACE_PREFIX)
