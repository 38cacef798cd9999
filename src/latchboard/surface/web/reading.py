"""Reading: what a page asks for: the board, its past, conversations, conflicts. Nothing here changes anything.

Protocol: protocol/http.md, "Reading".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from latchboard.aio import in_thread
from latchboard.clock import iso
from latchboard.surface.web.answer import FORMAT, to_text
from latchboard.surface.web.query import Query

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.requests import Request

    from latchboard.compose import Latchboard

_READS_COUNT = 8
"""Readings at once: more threads would only stand in each other's way."""


class Reading:
    """What is read, for any number of pages at once."""

    def __init__(self, board: Latchboard) -> None:
        self._board = board
        self._reads = asyncio.Semaphore(_READS_COUNT)
        self._now = Shared(self._text)

    async def board(self, request: Request) -> Response:
        """The board as it is now, or was at a revision."""
        Query(request, ())
        return Response(await self._now.get(), media_type="application/json")

    def _text(self) -> bytes:
        """status_board.json as it is now, with what a page needs besides. In a thread."""
        text = self._board.board.text()
        now = iso(self._board.clock.now().wall_s)
        head = to_text({"format": FORMAT, "root": self._board.root, "now": now})
        return head[:-1].encode() + b"," + text[1:]

    async def read(self, work: Callable[[], Any]) -> Any:
        """Run a reading in a thread, not too many at once."""
        async with self._reads:
            return await in_thread(work)


class Shared:
    """One reading for all who asked before it began: fifty pages that hear of a commit are one look at the store."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._running = asyncio.Lock()
        self._next: asyncio.Future[bytes] | None = None

    async def get(self) -> bytes:
        """What a reading gives that begins after this call."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._read())
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen
        return await asyncio.shield(self._next)

    async def _read(self) -> bytes:
        async with self._running:
            self._next = None  # whoever asks from now on may know of something newer
            return await in_thread(self._make)
