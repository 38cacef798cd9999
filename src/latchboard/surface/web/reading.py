"""Reading: what a page asks for: the board, its past, conversations, conflicts. Nothing here changes anything.

Protocol: protocol/http.md, "Reading".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from latchboard.aio import in_thread
from latchboard.clock import iso
from latchboard.rules.foreign import described
from latchboard.surface.web.answer import FORMAT, answer, to_text
from latchboard.surface.web.openapi import COMMITS_COUNT_MAX, THREADS_COUNT_MAX
from latchboard.surface.web.query import Query
from latchboard.surface.web.shared import Shared
from latchboard.workqueue.columns import CARDS_COUNT, CARDS_COUNT_MAX, columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.requests import Request

    from latchboard.compose import Latchboard
    from latchboard.rules.foreign import Conflict

    Facts = dict[str, Any]

_COMMITS_COUNT = 200
_THREADS_COUNT = 100
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
        revision = Query(request, ("at",)).number("at")
        if revision is None:
            return Response(await self._now.get(), media_type="application/json")
        facts = await self.read(lambda: self._board.replay.at(revision))
        return answer({**self._where(), **facts})

    async def history(self, request: Request) -> Response:
        """What was committed, oldest first, and how far back that is known."""
        query = Query(request, ("after", "limit"))
        after, limit = query.number("after") or 0, query.number("limit", least=1, most=COMMITS_COUNT_MAX)

        def read() -> Facts:
            replay = self._board.replay
            commits = replay.commits(after, limit or _COMMITS_COUNT)
            oldest, newest = replay.span()
            return {"oldest": oldest, "newest": newest, "commits": commits}

        return answer(await self.read(read))

    async def timeline(self, request: Request) -> Response:
        """Commits at which to look at the board, spread over all that is kept."""
        count = Query(request, ("count",)).number("count", least=1, most=COMMITS_COUNT_MAX) or _COMMITS_COUNT
        return answer({"commits": await self.read(lambda: self._board.replay.timeline(count))})

    async def messages(self, request: Request) -> Response:
        """Conversations, or one of them."""
        query = Query(request, ("thread", "limit"))
        thread, limit = query.text("thread"), query.number("limit", least=1, most=THREADS_COUNT_MAX)
        mailbox = self._board.mailbox
        if thread is None:
            return answer(await self.read(lambda: mailbox.conversations(limit=limit or _THREADS_COUNT)))
        return answer(await self.read(lambda: mailbox.conversation(thread, limit=limit or _THREADS_COUNT)))

    async def conflicts(self, request: Request) -> Response:
        """Held files that somebody else changed, oldest first; or one such conflict, with its diffs."""
        conflict_id = Query(request, ("id",)).text("id")
        if conflict_id is None:
            return answer(await self.read(self._conflicts))
        return answer(await self.read(lambda: self._conflict(conflict_id)))

    async def queue(self, request: Request) -> Response:
        """The work queue by status, with its limits."""
        limit = Query(request, ("limit",)).number("limit", least=1, most=CARDS_COUNT_MAX) or CARDS_COUNT

        def read() -> Facts:
            now = self._board.clock.now()
            return {**self._where(), **columns(self._board.queue.look(), now, cards_count=limit)}

        return answer(await self.read(read))

    def _conflicts(self) -> Facts:
        return {"conflicts": [_conflict(one) for one in self._board.conflicts.every()]}

    def _conflict(self, conflict_id: str) -> Facts:
        conflicts = self._board.conflicts
        one = conflicts.get(conflict_id)
        facts = _conflict(one)
        for file, shown in zip(one["files"], facts["files"], strict=True):
            shown["diff_text"] = conflicts.diff(file).decode("utf-8", "replace")
        return facts

    def _where(self) -> Facts:
        return {"root": self._board.root, "now": iso(self._board.clock.now().wall_s)}

    def _text(self) -> bytes:
        """status_board.json as it is now, with what a page needs besides. In a thread."""
        text = self._board.board.text()
        head = to_text({"format": FORMAT, **self._where()})
        return head[:-1].encode() + b"," + text[1:]

    async def read(self, work: Callable[[], Any]) -> Any:
        """Run a reading in a thread, not too many at once."""
        async with self._reads:
            return await in_thread(work)


def _conflict(one: Conflict) -> Facts:
    files = [{**file, "what": described(file["before"], file["after"])} for file in one["files"]]
    return {
        "id": one["id"],
        "kind": one["kind"],
        "holder": one["holder"],
        "by": one["by"],
        "certain": one["certain"],
        "also": one["also"],
        "found_at": one["found"]["at"],
        "files": files,
        "restored": one.get("restored", []),
    }
