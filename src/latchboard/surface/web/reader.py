"""Reader: one task that reads the journal into the log, as soon as something is committed.

Law 1. Notifications only wake it: it looks by itself now and then, so that a lost one loses nothing.
Law 2. Trouble with the store is told, and ends nothing: it goes on from where it was, or says that it cannot.
Law 3. It reads no further than what it has put into the log: a burst waits in the journal, not in memory.

Protocol: protocol/http.md, "Events".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from latchboard.aio import in_thread
from latchboard.errors import Compacted, CoordinationError
from latchboard.surface.web import log
from latchboard.surface.web.failure import internal_facts
from latchboard.surface.web.log import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.compose import Latchboard
    from latchboard.surface.web.log import Entry, Log
    from latchboard.watch import Commit, Feed

_log = logging.getLogger("latchboard.web")

_BATCH_COUNT = 200
_BATCH_BYTES = 256 * 1024
_RETRY_S = 1.0


class Reader:
    """Fills a log until it is cancelled; begins at once, in the running loop."""

    def __init__(self, board: Latchboard, journal: Log, tell: Callable[[], None]) -> None:
        """Begin.

        Args:
            board: The project.
            journal: Where commits go.
            tell: Called when something has come, or the log begins anew.
        """
        self._board = board
        self._journal = journal
        self._tell = tell
        self._is_troubled = False
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())  # seen
        self._task = asyncio.ensure_future(self._run())

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def begun(self) -> None:
        """Until it knows its place.

        Raises:
            CoordinationError: The store cannot be watched; it is over.
        """
        await asyncio.shield(self._begun)

    def cancel(self) -> None:
        """End it, soon."""
        self._task.cancel()

    async def close(self) -> None:
        """End it, and wait for that."""
        self.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        feed: Feed[Commit] | None = None
        try:
            while True:
                try:
                    feed = feed or await self._open()
                    await self._go_on(feed)
                except Exception as exc:  # noqa: BLE001 - pages wait for this task: it tells them, and goes on
                    if not self._begun.done():
                        self._begun.set_exception(exc)
                        return
                    if not await self._bears(exc):
                        await _close(feed)
                        feed = None
        finally:
            if not self._begun.done():
                self._begun.cancel()
            await _close(feed)

    async def _open(self) -> Feed[Commit]:
        """A feed from now on. What was between is not known: the log begins anew."""
        feed = await in_thread(lambda: self._board.stream.commits(timeout_s=0), undo=lambda feed: feed.close())
        self._journal.restart(feed.revision)
        if not self._begun.done():
            self._begun.set_result(None)
        self._tell()
        return feed

    async def _bears(self, exc: Exception) -> bool:
        """Whether a feed goes on from its place after some trouble, which is told, and waited out."""
        if isinstance(exc, Compacted):
            return False
        if not self._is_troubled:
            self._is_troubled = True
            facts = exc.to_json() if isinstance(exc, CoordinationError) else internal_facts(exc)
            _log.warning("the journal cannot be read: %s", facts["message"])
            self._add([(self._journal.last, event("trouble", facts))])
        await asyncio.sleep(_RETRY_S)
        return isinstance(exc, CoordinationError)  # a mistake of our own it would meet again

    async def _go_on(self, feed: Feed[Commit]) -> None:
        """What there is to read; else wait until there may be more."""
        entries = await in_thread(lambda: _batch(feed))
        if self._is_troubled:
            self._is_troubled = False
            self._add([(self._journal.last, event("ready", {"revision": self._journal.last}))])
        if entries:
            self._add(entries)
        else:
            await self._readable(feed)

    async def _readable(self, feed: Feed[Commit]) -> None:
        """Until there may be something to read."""
        settings = self._board.settings
        if feed.mode == "poll":
            await asyncio.sleep(settings.watch_poll_s)
            return
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        loop.add_reader(feed.fileno(), _set, told)
        try:
            async with asyncio.timeout(settings.wait_poll_s):
                await told
        except TimeoutError:
            return  # the safety net under notifications
        finally:
            loop.remove_reader(feed.fileno())

    def _add(self, entries: list[Entry]) -> None:
        self._journal.add(entries)
        self._tell()


def _batch(feed: Feed[Commit]) -> list[Entry]:
    """Some of what there is to read; none: there is no more. In a thread."""
    found: list[Entry] = []
    size = 0
    for commit in feed:
        found.append(log.entry(commit))
        size += len(found[-1][1])
        if len(found) >= _BATCH_COUNT or size >= _BATCH_BYTES:
            break
    return found


def _set(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)


async def _close(feed: Feed[Commit] | None) -> None:
    if feed is not None:
        await in_thread(feed.close)  # it may wait for the observer's thread
