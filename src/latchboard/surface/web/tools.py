"""Tools: the MCP server of the project at `/mcp`, loaded when somebody first asks for it: it takes 40 MB and a second.

Protocol: protocol/mcp.md, "Transport".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from latchboard.aio import in_thread
from latchboard.errors import CoordinationError
from latchboard.surface.web.failure import HttpError, internal, refusal
from latchboard.surface.web.gate import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from latchboard.compose import Latchboard

USE_S = 15.0


class Tools:
    """An ASGI application in front of the server, which it starts."""

    def __init__(self, board: Latchboard, allowed_hosts: tuple[str, ...], on_activity: Callable[[], None]) -> None:
        self._board = board
        self._on_activity = on_activity
        self._open_count = 0
        self._next_note: asyncio.TimerHandle | None = None
        self._names = (*sorted(LOOPBACK), *allowed_hosts)
        self._ending = asyncio.Event()
        self._ready: asyncio.Future[Starlette] | None = None
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        try:
            app = await self._app()
        except CoordinationError as exc:
            await refusal(exc)(scope, receive, send)
            return
        except Exception as exc:  # noqa: BLE001 - what another package does when it starts
            await internal(exc)(scope, receive, send)
            return
        self._open_count += 1
        if self._next_note is None:
            self._note_use()
        try:
            await app(scope, receive, send)
        finally:
            self._open_count -= 1

    def _note_use(self) -> None:
        """While a client is connected somebody uses the daemon, though it may say nothing for hours."""
        self._next_note = None
        if self._open_count:
            self._on_activity()
            self._next_note = asyncio.get_running_loop().call_later(USE_S, self._note_use)

    async def _app(self) -> Starlette:
        if self._ending.is_set():
            raise HttpError(503, "stopping", "the daemon stops")
        if self._ready is None or self._running is None or self._running.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())  # seen
            self._running = asyncio.ensure_future(self._run(self._ready))
        return await asyncio.shield(self._ready)

    async def _run(self, ready: asyncio.Future[Starlette]) -> None:
        """The server's whole life, in one task: it may be left only in the task that entered it."""
        try:
            app = await in_thread(self._make)
            async with app.router.lifespan_context(app):
                ready.set_result(app)
                await self._ending.wait()
        except Exception as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    def _make(self) -> Starlette:
        try:
            from latchboard.surface.mcp import server
        except ImportError as exc:
            hint = "pip install 'latchboard[mcp]', then restart the daemon"
            raise HttpError(501, "not-installed", "the MCP server needs the extra `mcp`", hint=hint) from exc
        from latchboard.surface.mcp.desk import Desk

        class Counter(Desk):
            """A desk in a house that others use, too."""

            def close(self) -> None:
                """The board is closed by whoever made it."""

        desk = Counter(lambda _: self._board, root=self._board.root, environ={})
        return server.http_app(desk, allowed_hosts=self._names)

    def end(self) -> None:
        """Let every client go: the daemon stops."""
        self._ending.set()

    async def close(self) -> None:
        """End, and wait for it."""
        self.end()
        if self._running is not None:
            await asyncio.wait([self._running])
