"""Server: the desk behind the official SDK; the only module that imports it.

Law 1. Standard output belongs to the protocol; whatever else is said goes to standard error.
Law 2. A call that waits holds nobody up; one that is cancelled leaves no place in line (calling.py).
Law 3. Mail is taken when its answer has left; a server that is killed before leaves it unread.

Protocol: protocol/mcp.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from mcp import MCPError, types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from latchboard import __version__
from latchboard.aio import in_thread
from latchboard.errors import CoordinationError, from_os_error
from latchboard.surface.mcp import calling, failure
from latchboard.surface.mcp.answer import answer
from latchboard.surface.mcp.calling import Taking
from latchboard.surface.mcp.catalogue import INSTRUCTIONS, TOOLS
from latchboard.surface.mcp.desk import Desk
from latchboard.surface.mcp.identity import HEADER, Caller
from latchboard.surface.mcp.push import BOARD, HISTORY, Push
from latchboard.surface.mcp.work import Outcome

Context = ServerRequestContext[Any, Any]

_log = logging.getLogger("latchboard.mcp")

_SHORT_CALLS_COUNT = 32
"""Calls at once that do not wait: more threads would only stand in front of the store's guard."""
_PROGRESS_S = 5.0
"""How often a call that waits says so: clients give up one that is silent for longer."""
_ROOTS_S = 5.0
_SEND_S = 5.0
_ENDING_S = 2.0
_ending: list[asyncio.Future[None]] = []  # kept, for the loop itself keeps no task alive

_RESOURCES = {
    BOARD: "Who holds what, who waits, and what every agent says it is doing, now",
    HISTORY: "What happened to locks and files, oldest first",
}


class Service:
    """One server of the SDK over one desk; enter it where its calls are served.

    Attributes:
        sdk: The SDK's server.
    """

    def __init__(self, desk: Desk, *, is_remote: bool) -> None:
        self.sdk: Server[Any] = Server(
            "latchboard",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=self._listen,
        )
        self._desk = desk
        self._is_remote = is_remote
        self._tools = [types.Tool.model_validate(tool.to_json()) for tool in TOOLS.values()]
        self._taking = Taking(desk)
        self._short_calls = asyncio.Semaphore(_SHORT_CALLS_COUNT)
        self._bus = InMemorySubscriptionBus()
        self._streams = ListenHandler(self._bus)
        self._subscribers: dict[Any, dict[str, Any]] = {}
        self._opening = asyncio.Lock()
        self._push: Push | None = None
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what has begun, and free everything; holds stay as they are."""
        if self._sender is not None:
            self._sender.cancel()
        await self._taking.settle()
        if self._push is not None:
            await in_thread(self._push.close)
        await in_thread(self._desk.close)

    # -- tools --------------------------------------------------------------------------------------------------------

    async def _list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools)

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in TOOLS:
            raise MCPError(code=types.INVALID_PARAMS, message=f"there is no tool {params.name[:80]!a}")
        await self._taking.settle()
        try:
            outcome = await self._work(context, params)
        except Exception as exc:  # noqa: BLE001 - the last place: a traceback tells a model nothing
            return self._failed(exc)
        if outcome.handed_on:
            self._taking.take_later(str(outcome.facts["agent"]), outcome.handed_on)
        return _result(outcome.facts)

    async def _work(self, context: Context, params: types.CallToolRequestParams) -> Outcome:
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        call = partial(
            calling.call,
            self._desk,
            params.name,
            params.arguments,
            caller=self._caller(context),
            offered=await self._roots(context),
            tell=partial(_set, said),
        )
        if not TOOLS[params.name].waits:
            async with self._short_calls:
                return await call()
        reporter = asyncio.ensure_future(_report(context, params, said))
        try:
            return await call()
        finally:
            reporter.cancel()

    def _failed(self, exc: Exception) -> types.CallToolResult:
        if isinstance(exc, OSError):  # no descriptor left for one more call
            exc = from_os_error(exc, "serve a call in", self._desk.root or ".")
        if not isinstance(exc, CoordinationError):
            show = _log.exception if os.environ.get(failure.TRACEBACK_VARIABLE) else _log.error
            show("a tool failed: %s", type(exc).__name__)
        return _result(self._desk.fault(exc), is_error=True)

    def _caller(self, context: Context) -> Caller:
        if not self._is_remote:
            told = context.session.client_params
            return Caller(client=told.client_info.name if told is not None else "")
        headers = context.request.headers if context.request is not None else {}
        return Caller(is_remote=True, header=headers.get(HEADER, ""), session=headers.get("mcp-session-id", ""))

    async def _roots(self, context: Context) -> list[str]:
        """The client's own roots, where it has such and they count: a remote one does not choose our folder."""
        session = context.session
        if self._is_remote or self._desk.root is not None or self._desk.is_open or not session.can_send_request:
            return []
        if session.client_capabilities is None or session.client_capabilities.roots is None:
            return []
        try:
            listed = await session.send_request(
                types.ListRootsRequest(), types.ListRootsResult, request_read_timeout_seconds=_ROOTS_S
            )
        except (MCPError, ValueError) as exc:  # ValueError: it answered something else
            _log.warning("the client did not tell its roots: %s", exc)
            return []
        return [str(root.uri) for root in listed.roots]

    # -- resources ----------------------------------------------------------------------------------------------------

    async def _list_resources(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        listed = [
            types.Resource(uri=uri, name=uri.rpartition("/")[2], description=text, mime_type="application/json")
            for uri, text in _RESOURCES.items()
        ]
        return types.ListResourcesResult(resources=listed)

    async def _read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = _known(params.uri)
        offered = await self._roots(context)
        try:
            text = await in_thread(partial(self._desk.read, uri, offered))
        except CoordinationError as exc:
            raise self._refused(exc) from exc
        content = types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[content])

    def _refused(self, exc: CoordinationError) -> MCPError:
        return MCPError(code=types.INTERNAL_ERROR, message=exc.message, data=self._desk.fault(exc))

    async def _subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        uri = _known(params.uri)
        await self._open_push(context)
        connection = _connection(context)
        if connection not in self._subscribers:
            self._subscribers[connection] = {}
            connection.exit_stack.callback(self._subscribers.pop, connection, None)
        self._subscribers[connection][uri] = context.session
        return types.EmptyResult()

    async def _unsubscribe(self, context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._subscribers.get(_connection(context), {}).pop(_known(params.uri), None)
        return types.EmptyResult()

    async def _listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        await self._open_push(context)
        return await self._streams(context, params)

    async def _open_push(self, context: Context) -> None:
        offered = await self._roots(context)
        async with self._opening:
            if self._push is not None:
                return
            loop = asyncio.get_running_loop()

            def tell(uris: set[str]) -> None:
                loop.call_soon_threadsafe(self._note, uris)

            try:
                self._push = await in_thread(lambda: Push(self._desk.open(offered), tell))
            except CoordinationError as exc:
                raise self._refused(exc) from exc
            self._sender = asyncio.ensure_future(self._send_on())

    def _note(self, uris: set[str]) -> None:
        self._changed |= uris
        self._woken.set()

    async def _send_on(self) -> None:
        """Tell subscribers; what changes while they are told is told once, afterwards."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            changed, self._changed = sorted(self._changed), set()
            for uri in changed:
                await self._bus.publish(ResourceUpdated(uri))
            wanted = [
                (uri, sessions[uri]) for sessions in self._subscribers.values() for uri in changed if uri in sessions
            ]
            await asyncio.gather(*(_send(session, uri) for uri, session in wanted))


def _result(facts: dict[str, Any], *, is_error: bool = False) -> types.CallToolResult:
    whole, text = answer(facts)
    content = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=[*content], structured_content=whole, is_error=is_error)


def _known(uri: str) -> str:
    if uri not in _RESOURCES:
        message = f"there is no resource {uri[:80]!a}; there are {' and '.join(_RESOURCES)}"
        raise MCPError(code=types.INVALID_PARAMS, message=message)
    return uri


def _connection(context: Context) -> Any:
    """The connection of a request, which outlives it; the SDK has no public name for it."""
    return context.session._connection


async def _send(session: Any, uri: str) -> None:
    try:
        async with asyncio.timeout(_SEND_S):
            await session.send_resource_updated(uri)
    except Exception as exc:  # noqa: BLE001 - one subscriber's trouble is not another's
        _log.warning("a subscriber was not told of %s: %s", uri, type(exc).__name__)


async def _report(context: Context, params: types.CallToolRequestParams, said: asyncio.Future[str]) -> None:
    """Say that a call waits, and for whom, from the moment it does until it is cancelled."""
    sentence = await said
    loop = asyncio.get_running_loop()
    began = loop.time()
    limit = (params.arguments or {}).get("wait_s_max")
    while True:
        total = float(limit) if isinstance(limit, int | float) else None
        await context.session.report_progress(loop.time() - began, total, sentence)
        await asyncio.sleep(_PROGRESS_S)


def _set(said: asyncio.Future[str], sentence: str) -> None:
    if not said.done():
        said.set_result(sentence)


# -- transports ------------------------------------------------------------------------------------------------------


def serve_stdio(desk: Desk) -> int:
    """Serve one client on standard input and output, until it closes them or a signal ends it."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="latchboard mcp: %(message)s")
    try:
        asyncio.run(_serve_stdio(desk))
    except BaseExceptionGroup as exc:
        if exc.split((BrokenPipeError, ConnectionError))[1] is not None:
            raise
        return 1  # nobody reads what we write
    return 0


async def _serve_stdio(desk: Desk) -> None:
    async with Service(desk, is_remote=False) as service:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, _begin_end, service, 128 + number)
        _when_nobody_reads(loop, partial(_begin_end, service, 1))
        async with stdio_server() as (reader, writer):
            await service.sdk.run(reader, writer, service.sdk.create_initialization_options())


def _when_nobody_reads(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Call `end` when the other end of standard output is closed: a pipe is readable then, and never before."""
    if os.isatty(1):
        return
    try:
        loop.add_reader(os.dup(1), end)
    except OSError:  # a file, which nobody closes
        return


def _begin_end(service: Service, status: int) -> None:
    if not _ending:
        _ending.append(asyncio.ensure_future(_end(service, status)))


async def _end(service: Service, status: int) -> None:
    """End early. A thread still reads standard input, and nothing but the end of the process ends that."""
    try:
        async with asyncio.timeout(_ENDING_S):
            await service.close()
    except TimeoutError:
        _log.warning("ended before everything was closed")
    os._exit(status)


def http_app(desk: Desk, *, host: str = "127.0.0.1", allowed_hosts: tuple[str, ...] = ()) -> Starlette:
    """Streamable HTTP at `/mcp`, as an ASGI application.

    A request whose Host or Origin is neither a loopback name nor one of `allowed_hosts` is refused: a web page that a
    person looks at must not reach it by a name that suddenly means this machine.

    Args:
        desk: Closed at the end of the application's lifespan. Whoever mounts it in another application must enter that
            itself (`app.router.lifespan_context(app)`): nothing is served outside of it.
        host: Where it is served, if it is served somewhere else than on a loopback address.
        allowed_hosts: Names by which it may be reached, without port; the loopback names when none is given.
    """
    service = Service(desk, is_remote=True)
    names = allowed_hosts or ("127.0.0.1", "localhost", "[::1]")
    security = TransportSecuritySettings(
        allowed_hosts=[pattern for name in names for pattern in (name, f"{name}:*")],
        allowed_origins=[
            pattern
            for name in names
            for scheme in ("http", "https")
            for pattern in (f"{scheme}://{name}", f"{scheme}://{name}:*")
        ],
    )
    app = service.sdk.streamable_http_app(host=host, transport_security=security)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(of: Starlette) -> AsyncIterator[Any]:
        async with service, inner(of) as state:
            yield state

    app.router.lifespan_context = lifespan
    return app


def serve_http(desk: Desk, *, host: str, port: int, allowed_hosts: tuple[str, ...] = ()) -> int:
    """Serve many clients over HTTP until a signal ends it; the address is told on standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="latchboard mcp: %(message)s")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        shown = f"[{host}]" if ":" in host else host
        print(f"latchboard mcp: http://{shown}:{listener.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
        app = http_app(desk, host=host, allowed_hosts=allowed_hosts)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=int(_ENDING_S))
        uvicorn.Server(config).run(sockets=[listener])
    return 0
