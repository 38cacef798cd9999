"""Follow: a watch that nobody waits for. It asks for no notification, and knows how much lies ahead of it.

Whoever folds the journal now and then (the board) must not wake up at every commit of everybody else.
"""

from __future__ import annotations

import os

from latchboard.store.files import guard
from latchboard.store.files.watch import FileWatch


class Follower(FileWatch):
    """Every change later than a revision, read when asked."""

    __slots__ = ()

    def __init__(self, path: str, *, after: int) -> None:
        """Follow the store in the folder `path`, which may not be there yet."""
        super().__init__(path, "", after=after)

    def _subscribe(self) -> None:
        self.mode, self.reason = "poll", "nobody waits for it"

    def behind(self) -> int:
        """How many bytes of journal the next `poll` has to read, at least; 0 when it cannot be told."""
        folder = self._folder
        if folder is None or folder.journal < 0 or not folder.is_current():
            return 0
        header = guard.peek_header(folder.guard)
        if header is None or header.base == folder.base:
            return 0 if header is None else header.applied - self._offset
        return os.fstat(folder.journal).st_size - self._offset + header.applied
