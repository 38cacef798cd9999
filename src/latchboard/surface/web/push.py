"""Push: the hub, in which every open page hears what is committed, from one log that one reader fills.

Law 1. What a page is sent has the order of commits; what is left out is said (`skipped`, `compacted`).
Law 2. The journal is read only while somebody listens, and for a short while after: an idle daemon reads nothing.
Law 3. What pages missed while they were away is read again once, for all of them.

All methods belong to the event loop; what reads the store runs in a thread.

Protocol: protocol/http.md, "Events".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from latchboard.aio import in_thread
from latchboard.errors import Compacted
from latchboard.surface.web import log
from latchboard.surface.web.log import Log, event
from latchboard.surface.web.reader import Reader

if TYPE_CHECKING:
    from latchboard.compose import Latchboard
    from latchboard.surface.web.log import Entry

_LINGER_S = 30.0
"""How long the reader goes on when the last page has gone: most come back, for they were only loaded anew."""
_REACH_S = 2.0
"""How long a page that names a newer revision than we have heard of is trusted to have read it from our board."""


class Hub:
    """The reader, its log, and who listens.

    Attributes:
        pages_count: How many pages listen.
        sent_count: Events that were handed to pages.
        lost_count: How often a page was told that it missed something.
        is_closed: Whether the daemon stops.
    """

    def __init__(self, board: Latchboard) -> None:
        self._board = board
        self._journal = Log()
        self._changed = asyncio.Event()
        self._reader: Reader | None = None
        self._reaching_back = asyncio.Lock()
        self._linger: asyncio.TimerHandle | None = None
        self.pages_count = 0
        self.sent_count = 0
        self.lost_count = 0
        self.is_closed = False

    # -- pages --------------------------------------------------------------------------------------------------------

    async def join(self, after: int | None) -> Page:
        """A new page, behind revision `after`, or from now on; its `leave` must follow.

        Raises:
            CoordinationError: The store cannot be watched; nobody has joined.
        """
        self.pages_count += 1
        try:
            await self._run()
            number, first = self._newest("ready") if after is None else await self._behind(after)
        except BaseException:
            self.leave()
            raise
        return Page(self, number, first)

    def leave(self) -> None:
        """A page has gone."""
        self.pages_count -= 1
        if not self.pages_count and not self.is_closed:
            self._forget_linger()
            self._linger = asyncio.get_running_loop().call_later(_LINGER_S, self._stop_if_alone)

    def take(self, number: int) -> tuple[int, bytes]:
        """What comes next at a place, and the place behind it; empty: nothing yet."""
        if why := self._journal.lost(number):
            self.lost_count += 1
            return self._newest(why)
        chunks = self._journal.read(number)
        self.sent_count += len(chunks)
        return number + len(chunks), b"".join(chunks)

    async def wait(self) -> None:
        """Until there may be something to take, or the daemon stops."""
        if not self.is_closed:
            await self._changed.wait()

    def _newest(self, name: str) -> tuple[int, bytes]:
        last = self._journal.last
        return self._journal.end, event(name, {"revision": last}, last)

    async def _behind(self, after: int) -> tuple[int, bytes]:
        """The place behind a revision that a page has heard or read; what it has missed is read again if need be."""
        journal = self._journal
        if after > journal.last:
            await self._reach(after)
        number = journal.find(after)
        if number is None and 0 < after < journal.floor:
            async with self._reaching_back:  # fifty pages that come back at once are one reading
                number = journal.find(after)
                if number is None and (why := await self._reach_back(after)):
                    self.lost_count += 1
                    return self._newest(why)
                number = journal.find(after)
        if number is None:
            self.lost_count += 1
            return self._newest("compacted")
        return number, event("ready", {"revision": after}, after)

    async def _reach(self, revision: int) -> None:
        """Hear what whoever names the revision has read from the board already."""
        try:
            async with asyncio.timeout(_REACH_S):
                while self._journal.last < revision and not self.is_closed:
                    await self._changed.wait()
        except TimeoutError:
            return  # it is of another store

    async def _reach_back(self, after: int) -> str:
        """Lengthen the log at its beginning; else the event that says why not."""
        floor, room = self._journal.floor, self._journal.room
        try:
            earlier = await in_thread(lambda: self._read_between(after, floor, room))
        except Compacted:
            return "compacted"
        if earlier is None or self._journal.floor != floor:
            return "skipped"
        self._journal.add_before(after, earlier)
        return ""

    def _read_between(self, after: int, until: int, room: tuple[int, int]) -> list[Entry] | None:
        """The commits behind one revision up to another one; None: they are too many to be kept. In a thread.

        Raises:
            Compacted: There is no such revision in this store, or not any more: what the page knows may be of another.
        """
        with self._board.stream.changes(after=after, timeout_s=0) as feed:
            next(feed, None)
        found: list[Entry] = []
        size = 0
        for commit in self._board.replay.commits(after, room[0] + 1):
            if commit["revision"] > until:
                break
            found.append(log.entry(commit))
            size += len(found[-1][1])
        is_whole = bool(found) and found[-1][0] == until
        return found if is_whole and len(found) <= room[0] and size <= room[1] else None

    # -- the reader ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """See to it that the reader runs and knows its place.

        Raises:
            CoordinationError: The store cannot be watched.
        """
        self._forget_linger()
        if self._reader is None or self._reader.is_over:
            self._reader = Reader(self._board, self._journal, self._tell)
        await self._reader.begun()

    def _stop_if_alone(self) -> None:
        if not self.pages_count and self._reader is not None:
            self._reader.cancel()
            self._reader = None
            self._journal.restart(0)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def close(self) -> None:
        """End every stream and the reader."""
        self.end_streams()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def end_streams(self) -> None:
        """Let every page go: the daemon stops."""
        self.is_closed = True
        self._forget_linger()
        self._tell()

    def _forget_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None


class Page:
    """One page's place."""

    def __init__(self, hub: Hub, number: int, first: bytes) -> None:
        self._hub = hub
        self._number = number
        self._ready = first

    async def next(self) -> bytes:
        """What is to be sent next; empty when the daemon stops."""
        ready, self._ready = self._ready, b""
        while not ready and not self._hub.is_closed:
            self._number, ready = self._hub.take(self._number)
            if not ready:
                await self._hub.wait()
        return ready

    def leave(self) -> None:
        """Not to be told any more."""
        self._hub.leave()
