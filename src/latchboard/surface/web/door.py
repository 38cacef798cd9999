"""Door: the server behind the application, with a bound on everything that a connection may keep us busy with.

Law 1. A connection that asks for nothing is closed after a while, and at once when there are too many.
Law 2. A reader that takes nothing for a while is cut off: what waits for it is memory.
Not here: who may ask (gate.py), and when the server ends (running.py).

Protocol: protocol/http.md, "Limits".
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from latchboard.surface.web.gate import HEAD_BYTES_MAX

if TYPE_CHECKING:
    from starlette.applications import Starlette

CONNECTIONS_COUNT_MAX = 512
HEAD_S = 10.0
"""How long a client may take to say what it wants."""
IDLE_S = 30
"""How long a connection is kept for another request."""
STALL_S = 60.0
"""How long a reader may leave what is sent to it where it is."""
SEND_BYTES = 128 * 1024
"""What the kernel keeps for a reader that is slow; left alone, it lets that grow to megabytes for each."""
ENDING_S = 1
"""How long a server that stops waits for answers; whole seconds."""
BACKLOG_COUNT = 2048

_log = logging.getLogger("latchboard.web.connection")
_log.setLevel(logging.ERROR)  # not each request that is none: whoever sends such would fill the disk with lines


def config(app: Starlette) -> uvicorn.Config:
    """How an application is served: by HTTP/1.1 alone, within the limits above."""
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody in front may say who asks
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=ENDING_S,
        backlog=BACKLOG_COUNT,
    )


class Connection(H11Protocol):
    """One connection, with a limit on its silence."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.logger = _log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room if there is none, and begin to wait for a request."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
            if connected.family != getattr(socket, "AF_UNIX", None):
                # The loop does it only for sockets that were made with a protocol number; else an answer takes 40 ms.
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._idle_since_s = self.loop.time()
        if len(self.connections) > CONNECTIONS_COUNT_MAX:
            self._make_room()
        self._expect_head()

    def _make_room(self) -> None:
        """Close the connection that has been idle for longest, else one that does not read; else this one."""
        spare = [one for one in self.connections if isinstance(one, Connection) and one is not self and one.is_spare]
        oldest = min(spare, key=lambda one: (not one.is_idle, one._idle_since_s), default=self)
        self.connections.discard(oldest)  # closing takes a turn of the loop; there may be more to make room for
        oldest.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether it has no request that is being answered."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return cycle is None or bool(cycle.response_complete)

    @property
    def is_spare(self) -> bool:
        """Whether nobody would miss it soon: it is idle, or its reader takes nothing just now."""
        return self.is_idle or self.flow.write_paused

    def data_received(self, data: bytes) -> None:
        """Read on; between two requests, only for so long."""
        super().data_received(data)
        if self.is_idle and self.timeout_keep_alive_task is None:
            self._expect_head()
        elif not self.is_idle:
            self._forget_head()

    def on_response_complete(self) -> None:
        """Wait for the next request; the keep-alive time runs from here."""
        self._idle_since_s = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._bound_end()

    def timeout_keep_alive_handler(self) -> None:
        """No other request came."""
        super().timeout_keep_alive_handler()
        self._bound_end()

    def pause_writing(self) -> None:
        """More is on its way than the reader takes."""
        super().pause_writing()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken it."""
        self._forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free everything."""
        self._forget_head()
        self._forget_stall()
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._close_silent)

    def _close_silent(self) -> None:
        self._head_timer = None
        if self.is_idle:
            self.transport.close()
            self._bound_end()

    def _bound_end(self) -> None:
        """A transport that is closed waits for its reader; what is left may be too little for `pause_writing`."""
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _forget_stall(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
