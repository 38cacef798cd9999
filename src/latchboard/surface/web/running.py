"""Running: a daemon in the foreground, from its place in the project to the end of its last connection.

In this order: signals are noted; the project's place is taken; a port is bound, once; the application is built; the
server listens; it is told that it is ready. Whatever happens, the way back is the other way round, and bounded.

Law 1. Who does not get the place says who has it, and touches nothing.
Law 2. The port that was bound is the one that is served: nobody can get in between.
Law 3. A stop takes at most `STOP_S_MAX`, whoever is connected and whatever hangs.

Protocol: protocol/daemon.md; protocol/health.md, "Starting", "Retirement".
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from latchboard import __version__
from latchboard.daemon import probe
from latchboard.daemon.readiness import Readiness
from latchboard.daemon.state import StateFile, Token
from latchboard.daemon.ticks import Retirement, every
from latchboard.errors import CoordinationError, NoFreePort, UsageError
from latchboard.host.service_manager import ServiceManager
from latchboard.rules import serving
from latchboard.rules.singleton import DAEMON
from latchboard.surface.web import door
from latchboard.surface.web.app import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

    from latchboard.compose import Latchboard
    from latchboard.singleton import Registration

log = logging.getLogger("latchboard.daemon")

STOP_S_MAX = 5.0
"""From the word to the end of the process."""
_FILE_TICK_S = 1.0
"""How soon an edit of the queue file is seen; a look at its times costs some microseconds."""
_CLEANUP_SHARE_MAX = 0.0025
"""Of a core. To look at 10,000 locks takes half a second, which each 30 s would be six times as much."""
_FILES_COUNT = 65536
_BACKLOG_COUNT = 2048
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


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


class Stop:
    """The word that ends a daemon, from a signal, a request or a tick; heard before there is a loop, too.

    Attributes:
        why: Who said it first; "" as long as nobody did.
    """

    def __init__(self) -> None:
        self.why = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._is_over = threading.Event()
        self._heard, self._say = os.pipe()

    @contextlib.contextmanager
    def noting_signals(self) -> Iterator[None]:
        """Signals that end a process end this one in good order; one that is ignored (nohup) stays so."""
        before = {number: signal.getsignal(number) for number in _ENDING}
        last_resort = threading.Thread(target=self._end_at_last, name="last resort", daemon=True)
        last_resort.start()  # now: a handler of signals must not start a thread
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: self.say(signal.Signals(number).name))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._is_over.set()
            self.say("over")
            last_resort.join()
            os.close(self._heard)
            os.close(self._say)

    def say(self, why: str) -> None:
        """End. From a handler of signals, a thread or the loop; the first word counts."""
        if self.why:
            return
        self.why = why
        os.write(self._say, b"!")
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def _end_at_last(self) -> None:
        """After the word, see to it that the process ends, whatever hangs."""
        os.read(self._heard, 1)
        if not self._is_over.wait(STOP_S_MAX):
            _end_at_once(self.why)

    def listen(self) -> None:
        """From now on the running loop is told."""
        self._loop = asyncio.get_running_loop()
        if self.why:
            self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it was said within the time."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


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
        with bound(board, options, state_file) as listener:
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

    async def serve(self, listener: socket.socket, token: str) -> None:
        """Until the word."""
        self._stop.listen()
        port = listener.getsockname()[1]
        retirement = self._retirement(port)
        app = build(
            self._board,
            token,
            allowed_hosts=self._options.allowed_hosts,
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
            ticks.append(asyncio.create_task(follow("queue_file", self._follow_file, share_max=_CLEANUP_SHARE_MAX)))
        manager = ServiceManager(os.environ)
        if manager.watchdog_s is not None:
            ticks.append(asyncio.create_task(self._feed(manager, manager.watchdog_s)))
        try:
            await server.serve(sockets=[listener])
        finally:
            self._stop.say("the server ended")
            self._readiness.tell_stopping()
            await asyncio.gather(*ticks)
            log.info("daemon.stopped root=%s port=%d why=%s", self._board.root, port, self._stop.why)

    async def _feed(self, manager: ServiceManager, watchdog_s: float) -> None:
        """Tell a watchdog that the loop, which all answers come from, goes round."""
        while not await self._stop.wait(watchdog_s):
            manager.tell("WATCHDOG=1")

    def _retirement(self, port: int) -> Retirement:
        board = self._board
        return Retirement(
            board.root,
            me=board.host.me(),
            port=port,
            epoch=self._place.epoch or 0,
            clock=board.clock,
            state_file=self._state_file,
            daemons=board.daemons,
            idle_s_max=self._options.idle_s_max,
        )

    def _tell_ready(self, port: int) -> None:
        host, url = self._options.host, probe.url(self._options.host, port)
        log.info("daemon.ready root=%s address=%s version=%s", self._board.root, url, __version__)
        facts: dict[str, Any] = {"host": host, "port": port, "process": self._board.host.me()}
        self._readiness.tell_ready(facts)
        self._options.on_ready(url)

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


@contextlib.contextmanager
def bound(board: Latchboard, options: Options, state_file: StateFile) -> Iterator[socket.socket]:
    """A socket with a port of its own.

    Raises:
        NoFreePort: There is none, or not the one that was asked for.
        UsageError: This machine has no such address.
    """
    first, end = board.settings.daemon_port_first, board.settings.daemon_port_end
    recorded = state_file.read()
    tried = serving.ports(first, end, recorded.port if recorded else None) if options.port is None else [options.port]
    for port in tried:
        listener = _listen(options.host, port)
        if listener is not None:
            with listener:
                yield listener
            return
    which = f"port {tried[0]}" if len(tried) == 1 else f"any port from {first} to {end - 1}"
    raise NoFreePort(
        f"cannot listen on {which} of {options.host}: others do",
        hint="end what listens there (`ss -ltnp` tells), or set daemon_port_first and daemon_port_end",
        first=tried[0] if tried else first,
        end=tried[-1] + 1 if tried else end,
    )


def _listen(host: str, port: int) -> socket.socket | None:
    """A socket that listens; None: somebody else does.

    It listens at once: two sockets with SO_REUSEADDR may both be bound to a port on which nobody listens yet.
    """
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what the last one's connections left
            listener.bind((host, port))
            listener.listen(_BACKLOG_COUNT)
        except BaseException:
            listener.close()
            raise
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return None
        what = f"cannot listen on port {port} of {host}: {exc.strerror or exc}"
        raise UsageError(what, hint="name an address of this machine, and a port above 1023") from exc
    return listener


def _raise_limits() -> None:
    """Each page and each idle connection takes a descriptor; the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_COUNT if hard == resource.RLIM_INFINITY else min(hard, _FILES_COUNT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_at_once(why: str) -> None:
    """The last resort: something hangs. The kernel gives everything back; what is half-done is as after SIGKILL."""
    log.error("daemon.ended_at_once why=%s after_s=%g", why, STOP_S_MAX)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
