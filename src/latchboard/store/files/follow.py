"""Follow: a watch that nobody waits for. It asks for no notification, and knows how much lies ahead of it.

Whoever folds the journal now and then (the board) must not wake up at every commit of everybody else, and need not read
all of the journal to know what happened lately.
"""

from __future__ import annotations

import os

from latchboard.errors import from_os_error
from latchboard.store.files import guard, journal, recovery
from latchboard.store.files.folder import Folder
from latchboard.store.files.watch import FileWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.store.files.guard import Header


class Follower(FileWatch):
    """Every change later than a revision, read when asked."""

    __slots__ = ()

    def __init__(self, path: str, *, after: int) -> None:
        """Follow the store in the folder `path`, which may not be there yet."""
        super().__init__(path, "", after=after)

    def _subscribe(self) -> None:
        self.mode, self.reason = "poll", "nobody waits for it"

    def _take_place(self) -> None:
        """As a watch does; but what was in a folder that was replaced is gone, and no change says so."""
        was = self._folder
        super()._take_place()
        if was is not None and self._folder is not was and self._lost is None:
            self._lost = self._compacted(0)

    def behind(self) -> int:
        """How many bytes of journal the next `poll` has to read, at least; 0 when it cannot be told."""
        folder = self._folder
        if folder is None or folder.journal < 0 or not folder.is_current():
            return 0
        header = guard.peek_header(folder.guard)
        if header is None or header.base == folder.base:
            return 0 if header is None else header.applied - self._offset
        return os.fstat(folder.journal).st_size - self._offset + header.applied


class Tail:
    """The end of the journal of the store in a folder, which may not be there yet."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        """Nothing is opened yet."""
        self._path = path

    def follow(self, after: int) -> Follower:
        """Everything after a revision; 0: from the oldest change kept."""
        return Follower(self._path, after=after)

    def place_back(self, span_bytes: int) -> int:
        """The revision of a commit about `span_bytes` ago; 0: there is no more than that, or it cannot be told."""
        return self._look(lambda folder, header: _place_back(folder, header, span_bytes))

    def behind_gap(self) -> int:
        """A revision from which on every commit can be read, up to the newest; 0: nothing is missing or damaged."""
        return self._look(_behind_gap)

    def _look(self, find: Callable[[Folder, Header], int]) -> int:
        try:
            folder = Folder(self._path, mode=0o600, writing=False)
        except FileNotFoundError:
            return 0
        try:
            header = guard.peek_header(folder.guard)
            return 0 if header is None else find(folder, header)
        except OSError as exc:
            raise from_os_error(exc, "read the journal in", self._path) from exc
        finally:
            folder.close()


def _place_back(folder: Folder, header: Header, left_bytes: int) -> int:
    for base in sorted((base for base in recovery.bases(folder) if base <= header.base), reverse=True):
        if not folder.open_journal(base):
            return 0
        size = header.applied if base == header.base else os.fstat(folder.journal).st_size
        if size > left_bytes:
            data = os.pread(folder.journal, left_bytes, size - left_bytes)
            behind_cut = data[data.find(b"\n") + 1 :]
            for _, entry in journal.whole_lines(behind_cut):
                return int(entry["revision"])
            return header.last  # one commit is as long as that
        left_bytes -= size
    return 0


def _behind_gap(folder: Folder, header: Header) -> int:
    """From the end back to the last line that is not whole, or the last journal that the next does not go on from."""
    place = header.last
    for base in sorted((base for base in recovery.bases(folder) if base <= header.base), reverse=True):
        if not folder.open_journal(base):
            return place
        end = header.applied if base == header.base else os.fstat(folder.journal).st_size
        first, *lines = os.pread(folder.journal, end, 0).split(b"\n")[:-1]
        previous = int((journal.unpack(first) or {"previous": 0})["previous"])
        last = int((journal.unpack(lines[-1]) or {"revision": 0})["revision"]) if lines else previous
        if base != header.base and last != place:
            return place
        for line in reversed(lines):
            entry = journal.unpack(line)
            if entry is None:
                return place
            place = int(entry["revision"])
        place = previous
    return 0
