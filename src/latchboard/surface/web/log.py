"""Log: the newest commits as the bytes that pages are sent, kept once for all of them.

A page is a number in it. What the log keeps is bounded, so a page that reads slowly, or comes back late, may find its
place gone; it is told so, and reads the board again. Nothing else is kept for a page.

Law 1. Between the revision `floor` and the revision `last` nothing is missing.
Law 2. A number is never of two entries, nor of two stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.surface.web.answer import FORMAT, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.watch import Commit

    Entry = tuple[int, bytes]

COUNT_MAX = 2048
BYTES_MAX = 4 * 1024 * 1024
"""What is kept for pages that are behind or come back: some seconds of a busy project, hours of a usual one."""
CHUNK_BYTES = 64 * 1024
"""About as much as is handed to a connection at once."""
_NUMBERS_APART = 2**32
"""Between two beginnings: more than can ever be put in front of the later one, so that it never meets the earlier."""


def event(name: str, facts: dict[str, Any], revision: int | None = None) -> bytes:
    """One event as it is sent."""
    place = "" if revision is None else f"id: {revision}\n"
    return f"{place}event: {name}\ndata: {to_text({'format': FORMAT, **facts})}\n\n".encode()


def entry(commit: Commit) -> Entry:
    """A commit as the log keeps it."""
    return commit["revision"], event("commit", commit, commit["revision"])


class Log:
    """Entries by number, without gaps.

    Attributes:
        floor: The revision before the first entry: whoever is there has missed nothing.
        last: The newest revision.
        begin: Number of the first entry.
        end: Number of the next entry.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[int, int] = {}  # by revision
        self._bytes = 0
        self._compacted_at = 0
        self.begin = self.end = 0
        self.floor = self.last = 0

    @property
    def room(self) -> tuple[int, int]:
        """How many entries and bytes may be put in front."""
        return COUNT_MAX - len(self._entries), BYTES_MAX - self._bytes

    def restart(self, revision: int) -> None:
        """Go on behind a revision, without knowing what was before it."""
        self._entries.clear()
        self._numbers.clear()
        self._bytes = 0
        self.end += _NUMBERS_APART  # no place from before is one of now
        self.begin = self._compacted_at = self.end
        self.floor = self.last = revision

    def add(self, entries: Iterable[Entry]) -> None:
        """Put the next entries behind the others; the oldest go."""
        for one in entries:
            self._keep(self.end, one)
            self.end += 1
            self.last = one[0]
        while len(self._entries) > COUNT_MAX or (self._bytes > BYTES_MAX and len(self._entries) > 1):
            revision, chunk = self._entries.pop(self.begin)
            self._bytes -= len(chunk)
            if self._numbers.get(revision) == self.begin:
                del self._numbers[revision]
            self.begin += 1
            self.floor = revision

    def add_before(self, after: int, entries: list[Entry]) -> None:
        """Put what came between the revision `after` and the floor in front of the others."""
        for one in reversed(entries):
            self.begin -= 1
            self._keep(self.begin, one)
        self.floor = after

    def _keep(self, number: int, one: Entry) -> None:
        self._entries[number] = one
        self._bytes += len(one[1])
        self._numbers[one[0]] = number

    def find(self, after: int) -> int | None:
        """The number of what comes behind a revision; None: it is not here."""
        if after == self.last:
            return self.end
        if after == self.floor:
            return self.begin
        number = self._numbers.get(after)
        return None if number is None else number + 1

    def lost(self, number: int) -> str:
        """Why a place is gone, as the event that says so; empty: it is not."""
        if number >= self.begin:
            return ""
        return "compacted" if number < self._compacted_at else "skipped"

    def read(self, number: int) -> list[bytes]:
        """What comes next from a place, about as much as is sent at once; none: nothing yet."""
        chunks: list[bytes] = []
        size = 0
        while number < self.end and size < CHUNK_BYTES:
            chunk = self._entries[number][1]
            chunks.append(chunk)
            size += len(chunk)
            number += 1
        return chunks
