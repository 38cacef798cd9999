"""Running: a daemon in the foreground, from its place in the project to the end of its last connection.

In this order: signals are noted; the project's place is taken; a port is bound, once; the application is built; the
server listens; it is told that it is ready. Whatever happens, the way back is the other way round, and bounded.

Law 1. Who does not get the place says who has it, and touches nothing.
Law 2. The port that was bound is the one that is served (`daemon.binding`).
Law 3. A stop is bounded, whoever is connected and whatever hangs (`daemon.stopping`).

Protocol: protocol/daemon.md; protocol/health.md, "Starting", "Retirement".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from latchboard import __version__
from latchboard.compose import engines
from latchboard.daemon import probe
from latchboard.daemon.binding import bound
from latchboard.daemon.readiness import Readiness
from latchboard.daemon.state import StateFile, Token
from latchboard.daemon.stopping import Stop
from latchboard.daemon.ticks import Retirement, every
from latchboard.errors import CoordinationError
from latchboard.host.service_manager import ServiceManager
from latchboard.rules.singleton import DAEMON
from latchboard.surface.web import door
from latchboard.surface.web.app import build

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from latchboard.compose import Latchboard
    from latchboard.singleton import Registration
    from latchboard.store.etcd.relaying import Relaying

log = logging.getLogger("latchboard.daemon")

_FILE_TICK_S = 1.0
"""How soon an edit of the queue file is seen; a look at its times costs some microseconds."""
_MIRROR_TICK_S = 1.0
"""How far the mirror of a store elsewhere is behind at most; a look without news is one request."""
_FILE_SHARE_MAX = 0.1
"""Of a core, for syncing it: some milliseconds, of 10,000 tasks a second; the first one loads what it needs."""
_CLEANUP_SHARE_MAX = 0.0025
"""Of a core. To look at 10,000 locks takes half a second, which each 30 s would be six times as much."""
_GIVE_UP_S = 0.25
"""How long a store elsewhere may take to answer what is under way when the daemon is to end; then again and again."""
_FILES_COUNT = 65536


class Options:
    """How a daemon is to be run.

    Attributes:
        host: The address to listen on.
        port: The only port to take; None: the first free one of the settings' range.
        allowed_hosts: Names by which it may be reached besides this machine's.
        idle_s_max: How long it may be idle before it retires, seconds; None: for ever.
        ready_fd: The pipe of whoever started it.
        on_ready: Called with the address of its page.
    """

    __slots__ = ("allowed_hosts", "host", "idle_s_max", "on_ready", "port", "ready_fd")

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        allowed_hosts: tuple[str, ...] = (),
        idle_s_max: float | None = None,
        ready_fd: int | None = None,
        on_ready: Callable[[str], None] = lambda url: None,
    ) -> None:
        self.host = host
        self.port = port
        self.allowed_hosts = allowed_hosts
        self.idle_s_max = idle_s_max
        self.ready_fd = ready_fd
        self.on_ready = on_ready


def run(board: Latchboard, options: Options) -> int:
    """Serve the project until it is told to stop, or retires; the exit status, 0.

    Args:
        board: The project; closed at the end.
        options: Where, and for how long.

    Raises:
        AlreadyRunning: The project has a daemon. Nothing was changed.
        NoFreePort: No port of the range, or not the one that was asked for, is free.
        UsageError: The options cannot be right.
        StoreError: The registry cannot be used.
    """
    stop = Stop()
    with stop.noting_signals():
        readiness = Readiness(options.ready_fd, os.environ)
        try:
            _serve(board, options, stop, readiness)
            readiness.tell_refused({"code": "stopped", "message": f"it was told to stop: {stop.why}", "hint": ""})
        except CoordinationError as exc:
            readiness.tell_refused(exc.to_json())
            raise
        finally:
            readiness.close()
            board.close()
    return 0


def _serve(board: Latchboard, options: Options, stop: Stop, readiness: Readiness) -> None:
    """Take the place and a port, and give both back."""
    with board.singletons.enforce(DAEMON) as place:
        board.daemons.enforce()
        state_file = StateFile(board.root)
        token = Token(board.root, lambda: None).ensure()  # the registry is there: the place lies in it
        with bound(options.host, options.port, board.settings, state_file) as listener:
            if stop.why:
                return
            _raise_limits()
            with asyncio.Runner() as runner:
                runner.run(_Daemon(board, options, stop, readiness, place, state_file).serve(listener, token))


class _Daemon:
    """One daemon, from its port to its last connection."""

    def __init__(
        self,
        board: Latchboard,
        options: Options,
        stop: Stop,
        readiness: Readiness,
        place: Registration,
        state_file: StateFile,
    ) -> None:
        self._board = board
        self._options = options
        self._stop = stop
        self._readiness = readiness
        self._place = place
        self._state_file = state_file
        self._trouble: Exception | None = None

    async def serve(self, listener: socket.socket, token: str) -> None:
        """Until the word."""
        self._stop.listen()
        host, port = listener.getsockname()[:2]
        retirement = self._retirement(host, port)
        app = build(
            self._board,
            token,
            allowed_hosts=(*self._options.allowed_hosts, _name(host, port)),
            on_activity=retirement.touch,
            on_stop=lambda: self._stop.say("asked to"),
            clock=self._board.clock,
        )
        server = _Server(app, self._stop, lambda: self._tell_ready(port))
        tick = partial(every, self._board.settings.daemon_tick_s, wait=self._stop.wait, clock=self._board.clock)
        ticks = [
            asyncio.create_task(tick("retirement", lambda: self._retire(retirement))),
            asyncio.create_task(tick("cleanup", self._clean_up, share_max=_CLEANUP_SHARE_MAX)),
        ]
        if self._board.settings.queue_file:
            follow = partial(every, _FILE_TICK_S, wait=self._stop.wait, clock=self._board.clock)
            ticks.append(asyncio.create_task(follow("queue_file", self._follow_file, share_max=_FILE_SHARE_MAX)))
        if (mirror := self._board.mirror()) is not None:
            follow = partial(every, _MIRROR_TICK_S, wait=self._stop.wait, clock=self._board.clock)
            ticks.append(asyncio.create_task(follow("mirror", mirror.look, share_max=_FILE_SHARE_MAX)))
        relay = self._relay(retirement.touch)
        manager = ServiceManager(os.environ)
        if manager.watchdog_s is not None:
            ticks.append(asyncio.create_task(self._feed(manager, manager.watchdog_s)))
        giving_up = asyncio.create_task(self._give_up())
        try:
            await server.serve(sockets=[listener])
        finally:
            self._stop.say("the server ended")
            self._readiness.tell_stopping()
            if relay is not None:
                relay.close()
            await asyncio.gather(*ticks)
            giving_up.cancel()
            log.info("daemon.stopped root=%s port=%d why=%s", self._board.root, port, self._stop.why)
        if self._trouble is not None:
            raise self._trouble

    async def _give_up(self) -> None:
        """Behind the word: a store that does not answer keeps us no longer than one that does."""
        await self._stop.wait()
        while True:
            await asyncio.sleep(_GIVE_UP_S)
            engines.give_up(self._board)

    async def _feed(self, manager: ServiceManager, watchdog_s: float) -> None:
        """Tell a watchdog that the loop, which all answers come from, goes round."""
        while not await self._stop.wait(watchdog_s):
            manager.tell("WATCHDOG=1")

    def _retirement(self, host: str, port: int) -> Retirement:
        board = self._board
        return Retirement(
            board.root,
            me=board.host.me(),
            host=host,
            port=port,
            epoch=self._place.epoch or 0,
            clock=board.clock,
            state_file=self._state_file,
            daemons=board.daemons,
            idle_s_max=self._options.idle_s_max,
        )

    def _relay(self, on_activity: Callable[[], None]) -> Relaying | None:
        """What passes on to etcd what hooks and commands ask; without it they ask by themselves."""
        relay = engines.relaying(self._board, on_activity)
        try:
            if relay is not None:
                relay.start()
        except CoordinationError as exc:
            log.warning("daemon.relay_failed why=%s", exc.message)
        return relay

    def _tell_ready(self, port: int) -> None:
        host, url = self._options.host, probe.url(self._options.host, port)
        log.info("daemon.ready root=%s address=%s version=%s", self._board.root, url, __version__)
        facts: dict[str, Any] = {"host": host, "port": port, "process": self._board.host.me()}
        self._readiness.tell_ready(facts)
        try:
            self._options.on_ready(url)
        except Exception as exc:  # noqa: BLE001 - nobody reads where it is to be said: told at the end, in good order
            self._trouble = exc
            self._stop.say("nobody could be told")

    def _retire(self, retirement: Retirement) -> None:
        why = retirement.why()
        if why:
            self._stop.say(why)

    def _clean_up(self) -> None:
        if os.path.isdir(f"{self._board.root}/data/.agent_locks"):  # who wiped it needs no new one
            self._board.cleanup.run()

    def _follow_file(self) -> None:
        if os.path.isdir(f"{self._board.root}/data/.agent_locks"):
            self._board.follow_queue_file()


class _Server(uvicorn.Server):
    """uvicorn, but for its handlers of signals (a stop is no death by signal) and its ten wake-ups a second."""

    def __init__(self, app: Starlette, stop: Stop, on_ready: Callable[[], None]) -> None:
        super().__init__(door.config(app))
        self._app = app
        self._stop = stop
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)  # the headers of every answer
        if not self._stop.why:
            self._on_ready()
        await self._stop.wait()
        self.should_exit = True
        self._app.state.stopping.set()  # streams have no end of their own


def _name(host: str, port: int) -> str:
    """The address that it listens on, as a browser says it; no page of anybody else can go by that."""
    return probe.url(host, port).removeprefix("http://").removesuffix("/")


def _raise_limits() -> None:
    """Each page and each idle connection takes a descriptor; the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_COUNT if hard == resource.RLIM_INFINITY else min(hard, _FILES_COUNT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
