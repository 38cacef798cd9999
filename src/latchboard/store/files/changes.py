"""Changes: which keys one journal changed, and at which revisions; kept in memory, so that no look reads it twice.

A revision says where its line is, so the values stay on the disk: 8 bytes are kept per commit, 12 per change, and each
key once. (100,000 commits of locks: 6 MB.)

Protocol: protocol/store.md, "Reading the past".
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right

from latchboard.errors import UsageError
from latchboard.store.files import journal, layout
from latchboard.store.port import REPLAYED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK_BYTES = 1024 * 1024


class Changes:
    """What is known of one journal so far.

    Attributes:
        base: Which journal.
        first: Its first line: tells it from another one with the same base, in another folder at this path.
        covered: Offset up to which it was read.
        commits: Revisions, in order.
        keys, paths: By number: the keys that were changed, and their files.
    """

    __slots__ = ("_numbers", "_revisions", "_which", "base", "commits", "covered", "first", "keys", "paths")

    def __init__(self, base: int, first: bytes) -> None:
        """Nothing is read yet."""
        self.base = base
        self.first = first
        self.covered = len(first) + 1
        self.commits = array("q")
        self.keys: list[str] = []
        self.paths: list[str] = []
        self._which: dict[str, int] = {}
        self._numbers = array("i")  # one per change: which key,
        self._revisions = array("q")  # and when; below zero: deleted then

    def read_on(self, fd: int, limit: int) -> None:
        """Go on up to offset `limit`, or to the first line that is not whole, or not in its place. Raises OSError."""
        size = _CHUNK_BYTES
        while self.covered < limit:
            data = os.pread(fd, min(size, limit - self.covered), self.covered)
            end = 0
            for behind, entry in journal.whole_lines(data):
                if entry.get("revision") != self.base + self.covered + end:
                    break  # a line came or went in front of it
                self._take(entry)
                end = behind
            if end:
                self.covered += end
            elif b"\n" in data or len(data) < size:
                return
            else:
                size *= 2

    def _take(self, entry: dict[str, Any]) -> None:
        revision = entry["revision"]
        self.commits.append(revision)
        for key in entry["puts"]:
            if key.startswith(REPLAYED):
                self._note(key, revision)
        for key in entry["deletes"]:
            if key.startswith(REPLAYED):
                self._note(key, -revision)

    def _note(self, key: str, revision: int) -> None:
        number = self._which.get(key)
        if number is None:
            number = self._which[key] = len(self.keys)
            self.keys.append(key)
            self.paths.append(_path(key))
        self._numbers.append(number)
        self._revisions.append(revision)

    def newest(self, at: int) -> dict[int, int]:
        """Of every key that was changed up to a revision: its number, and when; below zero: it was deleted then."""
        count = bisect_right(self._revisions, at, key=abs)
        return dict(zip(self._numbers[:count], self._revisions[:count], strict=True))

    def commit_at(self, at: int) -> int:
        """The last commit up to a revision; 0: none."""
        count = bisect_right(self.commits, at)
        return self.commits[count - 1] if count else 0

    def line(self, fd: int, revision: int) -> dict[str, Any] | None:
        """The commit with this revision, read again; None when it is not what it was. Raises OSError."""
        behind = bisect_right(self.commits, revision)
        end = self.commits[behind] - self.base if behind < len(self.commits) else self.covered
        entry = journal.unpack(os.pread(fd, end - 1 - (revision - self.base), revision - self.base))
        return entry if entry is not None and entry.get("revision") == revision else None


def _path(key: str) -> str:
    try:
        return layout.record(key)
    except UsageError:
        return ""  # a foreign writer's; no file has it
