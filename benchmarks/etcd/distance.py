"""Distance: what a lock costs where the cluster, or its members, are a network away, and what the disk adds.

A proxy in front of each member holds every byte back for half of the round trip. Members talk over proxies, too, where
they stand apart. (A kernel with netem would do it better; many have none.)
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.etcd.cost import Cost
from benchmarks.measure import percentile, sample
from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.store import EtcdStore
from tests.conftest import MEMORY
from tests.store.etcd.server import BINARY, Member, Place

FILES = ("src/a.py", "src/b.py", "src/c.py")
ROUND_TRIPS_MS = (0, 5, 20, 50)


class Proxy:
    """Passes bytes on to a port, late. A context manager.

    Attributes:
        port: Its own.
    """

    def __init__(self, to: int, round_trip_s: float) -> None:
        self.port = 0
        self._to = to
        self._late_s = round_trip_s / 2
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._passing: set[asyncio.Task[None]] = set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        self._loop.run_forever()
        for task in self._passing:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._passing, return_exceptions=True))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        for one, other in ((reader, back), (there, writer)):
            self._passing.add(asyncio.create_task(self._pass_on(one, other)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # who ends a connection hard has ended it
            while data := await reader.read(1 << 16):
                self._loop.call_later(self._late_s, writer.write, data)
        self._loop.call_later(self._late_s, writer.close)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Site(Place):
    """A cluster whose data lie in a folder of a kind, and whose members are so far apart."""

    def __init__(self, stack: ExitStack, count: int, *, on_disk: bool = False, apart_s: float = 0.0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="latchboard-etcd-", dir=None if on_disk else MEMORY))
        self.members = [Member(self.folder, f"m{number}") for number in range(count)]
        listens = [member.peer for member in self.members]
        for member in self.members if apart_s else ():
            member.peer = _behind(stack, member.peer, apart_s)
        for member, listen in zip(self.members, listens, strict=True):
            member.start(self.members, "--listen-peer-urls", listen, waits=False)
        for member in self.members:
            member.wait()
        stack.callback(self.close)

    def leads(self) -> list[bool]:
        """Which of its members does."""
        store = EtcdStore(self.access(), clock=SystemClock())
        try:
            return [member.is_leader for member in store.members()]
        finally:
            store.close()


def _behind(stack: ExitStack, url: str, round_trip_s: float) -> str:
    """The URL of a proxy in front of it."""
    start, _, port = url.rpartition(":")
    return f"{start}:{stack.enter_context(Proxy(int(port), round_trip_s)).port}"


def distance(rounds: int) -> list[dict[str, Any]]:
    """Acquire + release of three files, by round trip and by disk; nothing without etcd."""
    if shutil.which(BINARY) is None:
        return []
    near: dict[str, Any] = {}
    apart: dict[str, Any] = {}
    disks: dict[str, Any] = {}
    for ms in ROUND_TRIPS_MS if rounds > 5 else (0, 20):
        with ExitStack() as stack:
            site = Site(stack, 1)
            url = _behind(stack, site.members[0].client, ms / 1e3) if ms else site.members[0].client
            near[f"the cluster is {ms} ms away"] = _pair(site, url, rounds)
        with ExitStack() as stack:
            site = Site(stack, 3, apart_s=ms / 1e3)
            leads = site.leads()
            for who, does in (("leader", True), ("follower", False)):
                member = site.members[leads.index(does)]
                apart[f"members {ms} ms apart, asked: the {who}"] = _pair(site, member.client, rounds)
    for count in (1, 3):
        for kind in ("memory", "disk"):
            with ExitStack() as stack:
                site = Site(stack, count, on_disk=kind == "disk")
                disks[f"{count} on {kind}"] = _on(site, rounds)
    return [
        {"name": "etcd: three files over a network", "figures": {**near, **apart}, "goals": []},
        {"name": "etcd: three files, by what etcd's log lies on", "figures": disks, "goals": []},
    ]


def _pair(site: Place, url: str, rounds: int) -> dict[str, float]:
    access = Access(f"etcd://{url.partition('://')[2]}/tests/distance")
    access.takes_any_version = True
    store = EtcdStore(access, clock=SystemClock())
    try:
        with tempfile.TemporaryDirectory() as folder:
            me = Latchboard(folder, store=store, publishes=False).agent("bench")
            sample(lambda: me.lock(*FILES).release(), rounds=3)
            pair = sample(lambda: me.lock(*FILES).release(), rounds=rounds)
    finally:
        store.close()
    return {"p50_ms": round(statistics.median(pair) * 1e3, 1), "p95_ms": round(percentile(pair, 0.95) * 1e3, 1)}


def _on(site: Place, rounds: int) -> dict[str, float]:
    """One client, and then eight threads at once: the members flush what came together in one go."""
    cost = Cost(site)
    alone = _pair(site, site.members[0].client, rounds * 4)
    flush_ms = cost.of(rounds * 8)["flush_ms"]
    store = EtcdStore(site.access(), clock=SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        board = Latchboard(folder, store=store, publishes=False)
        board.agent("first").lock("first").release()
        began = time.monotonic()
        threads = [threading.Thread(target=_many, args=[board, number, rounds * 2]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.monotonic() - began
    store.close()
    return {**alone, "flush_ms": flush_ms, "8 at once: commits/s": round(8 * rounds * 4 / took_s)}


def _many(board: Latchboard, number: int, rounds: int) -> None:
    me = board.agent(f"agent-{number}")
    for _ in range(rounds):
        me.lock(f"src/{number}.py").release()
