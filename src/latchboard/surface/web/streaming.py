"""Streaming: `/api/events`, one open response per page, in the form of server-sent events.

Protocol: protocol/http.md, "Events".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.responses import Response

from latchboard.surface.web import query
from latchboard.surface.web.failure import HttpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from latchboard.surface.web.push import Hub, Page

PAGES_COUNT_MAX = 256
PING_S = 15

# Its own way to end streams polls, and would end those of every later server in the process; the hub ends ours.
AppStatus.enable_automatic_graceful_drain = False


class Streaming:
    """Opens streams."""

    def __init__(self, hub: Hub, on_activity: Callable[[], None]) -> None:
        self._hub = hub
        self._on_activity = on_activity

    async def open(self, request: Request) -> Response:
        """A stream, from now on or behind the revision that the page has heard last."""
        given = query.Query(request, ("after",))
        after = given.number("after")
        last_heard = request.headers.get("last-event-id")
        if last_heard:  # a page that comes back says it in its own words
            after = query.number("Last-Event-ID", last_heard)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._hub.is_closed:
            raise HttpError(503, "stopping", "the daemon stops")
        if self._hub.pages_count >= PAGES_COUNT_MAX:
            raise HttpError(503, "busy", f"{PAGES_COUNT_MAX} pages are open already", hint="close some of them")
        return _Stream(await self._hub.join(after), self._ping)

    def _ping(self) -> ServerSentEvent:
        self._on_activity()  # somebody looks at the board, though nothing happens on it
        return ServerSentEvent(comment="", sep="\n")


class _Stream(EventSourceResponse):
    """The response to one page, which leaves the hub however the stream ends."""

    def __init__(self, page: Page, make_ping: Callable[[], ServerSentEvent]) -> None:
        self._page = page
        super().__init__(_events(page), ping=PING_S, ping_message_factory=make_ping, sep="\n")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._page.leave()


async def _events(page: Page) -> AsyncIterator[bytes]:
    while chunk := await page.next():
        yield chunk
