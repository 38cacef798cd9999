"""App: every address of the daemon, and what answers there.

Protocol: protocol/http.md, "Addresses".
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from latchboard.errors import CoordinationError, from_os_error
from latchboard.surface.web import failure, openapi
from latchboard.surface.web.acting import Acting
from latchboard.surface.web.answer import answer
from latchboard.surface.web.failure import HttpError
from latchboard.surface.web.figures import Figures
from latchboard.surface.web.gate import Gate
from latchboard.surface.web.health import Health
from latchboard.surface.web.pages import Pages
from latchboard.surface.web.push import Hub
from latchboard.surface.web.query import Query
from latchboard.surface.web.reading import Reading
from latchboard.surface.web.streaming import Streaming
from latchboard.surface.web.tools import Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from latchboard.clock import Clock
    from latchboard.compose import Latchboard

    Endpoint = Callable[[Request], Awaitable[Response]]


def build(
    board: Latchboard,
    token: str,
    *,
    allowed_hosts: Iterable[str] = (),
    on_activity: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> Starlette:
    """The daemon's application; nothing is opened before the first request.

    Args:
        board: The project; whoever made it closes it, after the application's lifespan.
        token: What a request has to show, at least 16 characters.
        allowed_hosts: Names by which it may be reached besides the loopback ones: `NAME`, or `NAME:PORT`.
        on_activity: Called when somebody uses the daemon, and while a page is open: for retirement when idle.
        on_stop: Called when a request asked the daemon to stop, after its answer is on its way.
        clock: When it started; the board's by default.
    """
    if len(token) < 16:
        raise ValueError("a token of fewer than 16 characters could be guessed")
    health = Health(clock or board.clock)

    hosts = tuple(allowed_hosts)
    hub, reading, pages, tools = Hub(board), Reading(board), Pages(), Tools(board, hosts, on_activity)
    figures = Figures(board, hub)

    async def get_health(request: Request) -> Response:
        Query(request, ())
        return answer(health.facts())

    gets: dict[str, Endpoint] = {
        "/api/health": get_health,
        "/api/board": reading.board,
        "/api/history": reading.history,
        "/api/timeline": reading.timeline,
        "/api/messages": reading.messages,
        "/api/conflicts": reading.conflicts,
        "/api/queue": reading.queue,
        "/api/events": Streaming(hub, on_activity).open,
        "/api/openapi.json": openapi.get,
        "/metrics": figures.get,
    }
    posts = {f"/api/{name}": act for name, act in Acting(board, on_stop).endpoints().items()}
    routes = pages.routes()
    routes += [Route(path, _answering(endpoint, board.root), methods=["GET"]) for path, endpoint in gets.items()]
    routes += [Route(path, _answering(endpoint, board.root), methods=["POST"]) for path, endpoint in posts.items()]
    routes.append(Route("/mcp", tools))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await hub.close()
        await tools.close()

    gate = Middleware(
        Gate,
        token=token,
        public=pages.addresses,
        allowed_hosts=hosts,
        on_activity=on_activity,
        on_answer=figures.count,
    )
    app = Starlette(routes=routes, middleware=[gate], lifespan=lifespan, exception_handlers={HTTPException: _no_such})
    app.router.redirect_slashes = False  # a redirect would be built from what the client says its host is
    app.state.stopping = Stopping(hub.end_streams, tools.end)
    return app


class Stopping:
    """The word that the server is about to end: streams end by themselves then, at once."""

    def __init__(self, *enders: Callable[[], None]) -> None:
        self._enders = enders

    def set(self) -> None:
        """Say it; in the event loop."""
        for end in self._enders:
            end()


def _answering(endpoint: Endpoint, root: str) -> Endpoint:
    """The endpoint, with every error as an answer."""

    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CoordinationError as exc:
            return failure.refusal(exc)
        except OSError as exc:  # no descriptor left for one more call
            return failure.refusal(from_os_error(exc, "serve a request in", root))
        except Exception as exc:  # noqa: BLE001 - the last place: a traceback tells a page nothing
            return failure.internal(exc)

    return answering


async def _no_such(_: Request, exc: Exception) -> Response:
    """The framework's own refusals, in our form."""
    assert isinstance(exc, HTTPException)
    code, message = _FRAMEWORK.get(exc.status_code, ("refused", exc.detail))
    return failure.refusal(HttpError(exc.status_code, code, message, headers=dict(exc.headers or {})))


_FRAMEWORK = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address knows other methods alone"),
}
