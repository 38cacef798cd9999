"""Growth: what a lock costs beside ever more agents, locks held by others, and watchers, on one member.

What is merely there must cost nothing: p50 and the bytes that are read are goals. What must grow (a folder's lock
looks at every record, each watcher reads each commit) is shown.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.etcd.cost import Cost, standing
from benchmarks.measure import goal, percentile, sample
from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.errors import StoreError
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.store import EtcdStore
from tests.process.nursery import Channel, Child, Nursery
from tests.store.etcd.server import BINARY, Place

PROCESSES = 8
TIMES_MAX = 1.3
PATIENCE_S = 120.0
HELD_AT_ONCE = 80


def growth(share: float) -> list[dict[str, Any]]:
    """Three tables; with a small share they end a step earlier. Nothing without etcd."""
    if shutil.which(BINARY) is None:
        return []
    steps = 4 if share >= 1 else 3
    rounds = max(40, int(150 * share))
    place = Place()
    try:
        with Nursery() as nursery, tempfile.TemporaryDirectory() as folder:
            return [
                _by_agents(place, nursery, folder, [1, 10, 100, 1000][:steps], rounds, max(0.5, 2 * share)),
                _by_held(place, folder, [10, 100, 1000, 10_000][:steps], rounds),
                _by_watchers(place, nursery, [0, 10, 100, 1000][:steps], rounds // 3, max(1.0, 3 * share)),
            ]
    finally:
        place.close()


# -- agents ------------------------------------------------------------------------------------------------------------


def _by_agents(
    place: Place, nursery: Nursery, folder: str, counts: list[int], rounds: int, seconds: float
) -> dict[str, Any]:
    """Each has a status entry and a file of its own: one after the other in one process, then all at once in eight."""
    figures = {}
    for count in counts:
        access = place.access()
        store = EtcdStore(access, clock=SystemClock())
        board = Latchboard(folder, store=store, publishes=False)
        agents = [board.agent(f"agent-{number}") for number in range(count)]
        for agent in agents:
            board.board.update(agent.id, "working", [f"src/{agent.id}.py"])
            agent.lock(f"src/{agent.id}.py").release()  # the first lock of an agent begins its lease
        turn = iter(range(1 << 30))

        def pair(agents: list[Any] = agents, turn: Any = turn) -> None:
            agent = agents[next(turn) % len(agents)]
            agent.lock(f"src/{agent.id}.py").release()

        figures[f"{count} agents"] = {**_measured(place, pair, rounds), **_at_once(nursery, access, count, seconds)}
        store.close()
    return {
        "name": "etcd: acquire + release of a file beside so many agents",
        "figures": figures,
        "goals": _goals(figures, ("p50_us", "read_bytes")),
    }


def _measured(place: Place, action: Callable[[], object], rounds: int, commits: int = 2) -> dict[str, float]:
    """Time of an action, and what each of its commits costs; once it is warm."""
    sample(action, rounds=10)
    cost, cpu_s = Cost(place), time.process_time()
    seconds = sample(action, rounds=rounds)
    cpu_ms = (time.process_time() - cpu_s) / rounds / commits * 1e3
    return {
        "p50_us": round(statistics.median(seconds) * 1e6),
        "p95_us": round(percentile(seconds, 0.95) * 1e6),
        "client_cpu_ms": round(cpu_ms, 3),
        **cost.of(rounds * commits),
    }


def _goals(figures: dict[str, dict[str, float]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The last row against the first."""
    first, *_, last = figures
    return [
        goal(f"{name}, {last} against {first}", figures[last][name] / figures[first][name], TIMES_MAX) for name in names
    ]


def _at_once(nursery: Nursery, access: Access, count: int, seconds: float) -> dict[str, float]:
    """Everybody as fast as it goes."""
    names = [f"agent-{number}" for number in range(count)]
    shares = [names[number::PROCESSES] for number in range(min(PROCESSES, count))]
    children = [nursery.start(hurry, address=access.address, agents=share, seconds=seconds) for share in shares]
    for child in children:
        child.receive(PATIENCE_S)
    for child in children:
        child.tell(go=True)
    found = [child.receive(PATIENCE_S) for child in children]
    for child in children:
        child.wait()
    took = [one for told in found for one in told["took_s"]] or [seconds]
    return {
        "at once: failed": sum(told["failed"] for told in found),
        "at once: commits/s": round(2 * len(took) / seconds),
        "at once: p50_ms": round(statistics.median(took) * 1e3, 1),
        "at once: p95_ms": round(percentile(took, 0.95) * 1e3, 1),
    }


def hurry(channel: Channel, address: str, agents: list[str], seconds: float) -> None:
    """One process: a thread for each agent, which locks and releases its own file."""
    store = _opened(address)
    took: list[float] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        board = Latchboard(folder, store=store, publishes=False)
        board.agent(agents[0]).lock(f"src/{agents[0]}.py").release()
        begins = threading.Barrier(len(agents) + 1)

        def run(name: str) -> None:
            agent = board.agent(name)
            begins.wait()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                since = time.perf_counter()
                try:
                    agent.lock(f"src/{name}.py").release()
                except StoreError as exc:  # so many at once that etcd does not answer within a request's limit
                    failed.append(exc.code)
                else:
                    took.append(time.perf_counter() - since)

        threads = [threading.Thread(target=run, args=[name]) for name in agents]
        for thread in threads:
            thread.start()
        channel.send(ready=True)
        channel.receive(PATIENCE_S)
        begins.wait()
        for thread in threads:
            thread.join()
        channel.send(took_s=[round(one, 5) for one in took], failed=len(failed))
        store.close()


def _opened(address: str) -> EtcdStore:
    access = Access(address)
    access.takes_any_version = True
    return EtcdStore(access, clock=SystemClock())


# -- held locks --------------------------------------------------------------------------------------------------------


def _by_held(place: Place, folder: str, counts: list[int], rounds: int) -> dict[str, Any]:
    """Others hold so many files; a lock of one more, a refusal, a folder's lock, and a look at everything."""
    store = EtcdStore(place.access(), clock=SystemClock())
    board = Latchboard(folder, store=store, publishes=False)
    holder, me = board.agent("holder"), board.agent("me")
    figures = {}
    held = 0
    for count in counts:
        while held < count:
            names = [f"held/{number}.py" for number in range(held, min(count, held + HELD_AT_ONCE))]
            holder.lock(*names)
            held += len(names)
        row = _measured(place, lambda: me.lock("src/a.py").release(), rounds)
        others: list[tuple[str, Callable[[], object], int]] = [
            ("refused", lambda: me.try_lock("held/0.py"), rounds),
            ("a folder", lambda: me.lock("elsewhere/").release(), 20),
            ("the board, first look", lambda: _first_look(folder, store), 3),
        ]
        for name, action, times in others:
            row[f"{name}: p50_us"] = round(statistics.median(sample(action, rounds=times)) * 1e6)
        figures[f"{count} held"] = {**row, **standing(place)}
    store.close()
    return {
        "name": "etcd: acquire + release of a file beside so many held locks",
        "figures": figures,
        "goals": _goals(figures, ("p50_us", "read_bytes", "refused: p50_us")),
    }


def _first_look(folder: str, store: EtcdStore) -> None:
    board = Latchboard(folder, store=store, publishes=False).board
    board.read()
    board.close()  # else it goes on reading every commit


# -- watchers ----------------------------------------------------------------------------------------------------------


def _by_watchers(place: Place, nursery: Nursery, counts: list[int], rounds: int, idle_s: float) -> dict[str, Any]:
    """So many agents are there, each with a watch of its own; nobody does anything, then one of them commits."""
    store = EtcdStore(place.access(), clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {"n": 0}), who="a")
    children: list[Child] = []
    figures = {}
    there = 0
    for count in counts:
        shares = [(count - there + number) // PROCESSES for number in range(PROCESSES)]
        new = [nursery.start(attend, address=store.access.address, count=share) for share in shares if share]
        for child in new:
            child.receive(PATIENCE_S)
        for child in new:  # all are there before one of them watches: each that comes is an event for those who do
            child.ask(watch=True)
        children += new
        there = count
        figures[f"{count} watchers"] = {
            **_idle(place, children, idle_s),
            **_watched(place, store, children, rounds),
            **standing(place),
        }
    store.close()
    return {"name": "etcd: a commit that so many watch", "figures": figures, "goals": []}


def _idle(place: Place, children: list[Child], seconds: float) -> dict[str, float]:
    cost, before = Cost(place), _cpu_s(children)
    time.sleep(seconds)
    return {
        "idle: etcd, % of a core": round(cost.cpu_s() / seconds * 100, 1),
        "idle: agents, % of a core": round((_cpu_s(children) - before) / seconds * 100, 1),
    }


def _watched(place: Place, store: EtcdStore, children: list[Child], rounds: int) -> dict[str, float]:
    turn = iter(range(1, 1 << 30))

    def commit() -> None:
        n = next(turn)
        store.transact(lambda view: view.put("agents/a", {"n": n}), who="a")

    before = _cpu_s(children)
    row = _measured(place, commit, rounds, commits=1)
    time.sleep(0.5)  # what is still on its way to them
    row["agents_cpu_ms"] = round((_cpu_s(children) - before) / (rounds + 10) * 1e3, 3)
    return row


def _cpu_s(children: list[Child]) -> float:
    return sum(float(child.ask(cpu=True)["cpu_s"]) for child in children)


def attend(channel: Channel, address: str, count: int) -> None:
    """One process with so many agents that are present and watch; tells what CPU time they took."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stores = [_opened(address) for _ in range(count)]
    for store in stores:
        store.present()
    channel.send(present=count)
    channel.receive(PATIENCE_S)
    newest = stores[0].read("agents/").revision
    watches = [store.watch("", after=newest) for store in stores]
    for watch in watches:
        watch.poll()
    channel.send(watches=count)
    while channel.receive(PATIENCE_S):
        channel.send(cpu_s=time.process_time())
