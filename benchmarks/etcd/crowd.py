"""Crowd: two hundred agents in eight processes work on a cluster of three, whose leader is killed three times.

Each locks one to three of the files that they share, writes one of them behind the lock, sends mail to the others,
receives and acknowledges. What they were told and what was committed is judged by the checker of tests/histories; how
long nobody could commit anything is measured around each kill.
"""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.measure import goal, percentile
from latchboard.clock import SystemClock
from latchboard.locks.hold import Hold
from latchboard.store.etcd.store import EtcdStore
from tests.histories import checker
from tests.histories.history import History, read_ops, with_own_mono
from tests.histories.nemesis import commits_of
from tests.histories.worker import Worker, follow
from tests.process.nursery import Channel, Nursery
from tests.store.etcd.server import BINARY, Member, Place

PROCESSES = 8
FILES = tuple(f"src/f{number}.txt" for number in range(100))
WAIT_S_MAX = 5.0
PATIENCE_S = 120.0
_COMMITS = ("acquire", "write", "release", "send", "ack")
_JUDGED = {
    "double holders, tokens that do not grow": checker.check_locks,
    "changes that a watch missed or repeated": checker.check_watch,
    "grants and releases that no commit knows": checker.check_answers,
    "writes that were lost, doubled or stale": checker.check_files,
    "messages that were lost or came again": checker.check_mail,
}


class Working(Worker):
    """One of the agents; a thread of its process, with a store and a presence of its own."""

    files = FILES

    def acquire(self) -> Hold | None:
        names = self.random.sample(FILES, self.random.randint(1, 3))
        me = self.board.agent(self.agent)

        def run(op: str) -> tuple[Hold, dict[str, Any]]:
            hold = me.lock(*names, wait_s_max=WAIT_S_MAX)
            return hold, {"tokens": hold.tokens}

        told = {"names": names, "shared": False, "bound": "process"}
        hold: Hold | None = self.recorder.call("acquire", run, **told)
        return hold

    def turn(self) -> None:
        hold = self.acquire()
        if hold is not None:
            self.increment(hold)
            self.release(hold)


def work(channel: Channel, agents: list[str], **arguments: Any) -> None:
    """One process: its agents, until it is told to end."""
    is_over, failures = threading.Event(), []

    def run(worker: Working) -> None:
        try:
            while not is_over.is_set():
                worker.step()
        except BaseException:
            failures.append(traceback.format_exc())
            raise

    workers = [_worker(agent, 1, **arguments) for agent in agents]
    threads = [threading.Thread(target=run, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    channel.receive(PATIENCE_S)
    is_over.set()
    for thread in threads:
        thread.join()
    for worker in workers:
        worker.board.locks.release_names(worker.agent)
        worker.board.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    channel.send(failures=failures, cpu_s=used.ru_utime + used.ru_stime)


def _worker(agent: str, incarnation: int, *, root: str, folder: str, store: str, others: list[str]) -> Working:
    path = f"{folder}/{agent}.{incarnation}.log"
    return Working(root, path, agent, incarnation, others, seed=hash((agent, incarnation)), store=store)


class Crowd:
    """A cluster of three, and who works on it.

    Attributes:
        kills: When the leader was killed, monotonic seconds.
        cpu_s: What the agents used.
    """

    def __init__(self, nursery: Nursery, folder: Path, agents_count: int) -> None:
        self.kills: list[float] = []
        self.cpu_s = 0.0
        self._nursery = nursery
        self._folder = folder
        self._root = folder / "root"
        self._agents = [f"agent-{number}" for number in range(agents_count)]

    def history(self, place: Place, *, kills_count: int, pause_s: float) -> History:
        """Let them work, `pause_s` before, between and after the kills, and read what they and etcd say."""
        access = place.access()
        store = EtcdStore(access, clock=SystemClock())
        (self._root / "src").mkdir(parents=True)
        for file in FILES:
            (self._root / file).write_text(json.dumps({"op": "", "previous": ""}))
        arguments = {"root": str(self._root), "folder": str(self._folder), "store": access.address}
        arguments["others"] = self._agents  # type: ignore[assignment]
        watched = str(self._folder / "watched")
        watcher = self._nursery.start(follow, root=str(self._root), path=watched, store=access.address)
        children = [
            self._nursery.start(work, agents=self._agents[number::PROCESSES], **arguments)
            for number in range(PROCESSES)
        ]
        for _ in range(kills_count):
            time.sleep(pause_s)
            self._kill_leader(place, store)
        time.sleep(pause_s)
        for child in children:
            child.tell(end=True)
        for child in children:
            told = child.receive(PATIENCE_S)
            self.cpu_s += told["cpu_s"]
            if told["failures"]:
                raise AssertionError(told["failures"][0])
        for agent in self._agents:
            _worker(agent, 2, **arguments).drain()  # type: ignore[arg-type]
        commits = commits_of(store)
        watcher.tell(newest=commits[-1]["revision"])
        watcher.receive(PATIENCE_S)
        store.close()
        return self._read(commits, watched)

    def _kill_leader(self, place: Place, store: EtcdStore) -> None:
        """SIGKILL, and start it again a while later."""
        leader: Member | None = None
        while leader is None:
            leading = {member.endpoint for member in store.members() if member.is_leader}
            leader = next((member for member in place.members if member.client in leading), None)
        self.kills.append(time.monotonic())
        leader.kill()
        time.sleep(1.0)
        place.restart(leader)

    def _read(self, commits: list[dict[str, Any]], watched: str) -> History:
        wall_minus_mono_s = time.time() - time.monotonic()
        ops = [op for path in sorted(self._folder.glob("*.log")) for op in read_ops(path)[0]]
        files = {file: json.loads((self._root / file).read_text()) for file in FILES}
        lines = [json.loads(line) for line in Path(watched).read_text().splitlines()]
        seen = [(revision, key, is_put) for revision, key, is_put, _ in lines]
        seen_s = {revision: there_s for revision, _, _, there_s in reversed(lines)}
        return History(ops, with_own_mono(commits, wall_minus_mono_s, seen_s), {}, files, seen)


def crowd(agents_count: int, kills_count: int, pause_s: float) -> list[dict[str, Any]]:
    """What they got through, what cannot be explained, and how long nobody could commit; nothing without etcd."""
    if shutil.which(BINARY) is None:
        return []
    folder = Path(tempfile.mkdtemp())
    place = Place(3)
    try:
        with Nursery() as nursery:
            run = Crowd(nursery, folder, agents_count)
            history = run.history(place, kills_count=kills_count, pause_s=pause_s)
    finally:
        place.close()
        shutil.rmtree(folder)
    return [_told(run, history, agents_count)]


def gaps(history: History, kills: list[float]) -> list[float]:
    """The longest time without a commit around each kill, seconds."""
    done = sorted(op.returned_s or 0.0 for call in _COMMITS for op in history.of(call) if op.is_ok)
    found = []
    for at, until in zip(kills, [*kills[1:], done[-1]], strict=True):
        near = [moment for moment in done if at - 1.0 < moment < until]
        found.append(max((b - a for a, b in itertools.pairwise(near)), default=until - at))
    return found


def _told(run: Crowd, history: History, agents_count: int) -> dict[str, Any]:
    goals = []
    for what, check in _JUDGED.items():
        problems = check(history)
        print("".join(f"    {problem}\n" for problem in problems[:10]), end="", file=sys.stderr)
        goals.append(goal(what, len(problems), 0))
    seconds = gaps(history, run.kills)
    took_s = max(op.returned_s or 0.0 for op in history.ops) - history.ops[0].called_s
    calls = {
        call: {
            "done": sum(op.is_ok for op in history.of(call)),
            "p50_ms": _ms(history, call, 0.5),
            "p95_ms": _ms(history, call, 0.95),
            "longest_ms": _ms(history, call, 1.0),
        }
        for call in (*_COMMITS, "receive")
    }
    refused = Counter(str(op.result["code"]) for op in history.ops if op.result and not op.is_ok)
    return {
        "name": f"etcd: {agents_count} agents in {PROCESSES} processes, the leader killed {len(run.kills)} times",
        "figures": {
            "all of it": {
                "commits": len(history.commits),
                "commits/s": round(len(history.commits) / took_s),
                "agents' cpu ms each": round(run.cpu_s / len(history.commits) * 1e3, 2),
            },
            "nobody could commit for": {
                "p50_ms": round(statistics.median(seconds) * 1e3),
                "longest_ms": round(max(seconds) * 1e3),
            },
            **calls,
            "told instead": dict(refused),
        },
        "goals": goals,
    }


def _ms(history: History, call: str, share: float) -> float:
    took = [op.returned_s - op.called_s for op in history.of(call) if op.is_ok and op.returned_s is not None]
    return round(percentile(took, share) * 1e3, 1) if took else 0.0
