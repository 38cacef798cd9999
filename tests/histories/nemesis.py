"""Nemesis: kills, stops and restarts the workers of a history, and lets them end."""

from __future__ import annotations

import json
import random
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from latchboard.compose import Latchboard
from latchboard.settings import Settings
from tests.histories.history import History, Op, read_ops, with_mono, with_own_mono
from tests.histories.worker import FILES, SHORT_TTL_S, Worker, follow, work
from tests.process.inspection import Folder
from tests.process.nursery import Child, Nursery

CALLS = ("acquire", "write", "receive", "ack")
ENOUGH_COUNT = 11
"""A history says something when so many of each of these have gone well: on a busy machine it goes on until then."""
LONGER_S_MAX = 180.0
READINGS_COUNT = 50
END_S_MAX = 120.0
"""How long whoever is told to end may be in the middle of something, seconds."""


def _wall_minus_mono() -> tuple[float, float]:
    """What lies between the two clocks, behind how long it took to look: whoever reads them may be stopped between."""
    before_s = time.monotonic()
    wall_s = time.time()
    after_s = time.monotonic()
    return after_s - before_s, wall_s - (before_s + after_s) / 2


class Run:
    """Some workers under a nemesis, and the history they leave.

    Attributes:
        killed_count: How many were killed.
        stopped_count: How many were stopped, some of them for longer than their lease.
    """

    def __init__(  # noqa: PLR0913 - what is done to them, all by keyword
        self,
        nursery: Nursery,
        folder: Path,
        *,
        agents_count: int,
        seed: int,
        careless: bool = False,
        store: str = "files",
        besides: AbstractContextManager[Any] | None = None,
        pause_s: float = 0.15,
    ) -> None:
        """`store`: as in the settings; `besides`: what else is done to them; `pause_s`: longest between two of them."""
        self._pause_s = pause_s
        self._store = store
        self._besides: AbstractContextManager[Any] = besides or nullcontext()
        self._nursery = nursery
        self._folder = folder
        self._root = folder / "root"
        self._random = random.Random(seed)
        self._careless = careless
        self._agents = [f"agent-{number}" for number in range(agents_count)]
        self._incarnations = dict.fromkeys(self._agents, 0)
        self._children: dict[str, Child] = {}
        self._stopped_until_s: dict[str, float] = {}
        self._killed_s: dict[Path, float] = {}
        self.killed_count = self.stopped_count = 0

    def history(self, duration_s: float) -> History:
        """Let them work for a while, or until there is enough of it, and read what they and the journal say."""
        for file in FILES:
            path = self._root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"op": "", "previous": ""}))
        wall_minus_mono_s = min(_wall_minus_mono() for _ in range(READINGS_COUNT))[1]
        watcher = self._nursery.start(
            follow, root=str(self._root), path=str(self._folder / "watched"), store=self._store
        )
        for agent in self._agents:
            self._start(agent)
        with self._besides:
            self._trouble(time.monotonic() + duration_s)
        self._end()
        self._drain()
        commits = self._commits()
        watcher.tell(newest=commits[-1]["revision"])
        watcher.receive(END_S_MAX)
        lines = [json.loads(line) for line in (self._folder / "watched").read_text().splitlines()]
        watched = [(revision, key, is_put) for revision, key, is_put, _ in lines]
        seen_s = {revision: there_s for revision, _, _, there_s in reversed(lines)}
        if self._store == "files":
            return self._read(with_mono(commits, wall_minus_mono_s), watched)
        return self._read(with_own_mono(commits, wall_minus_mono_s, seen_s), watched)

    def _start(self, agent: str) -> None:
        self._incarnations[agent] += 1
        self._children[agent] = self._nursery.start(
            work,
            root=str(self._root),
            path=str(self._path(agent)),
            agent=agent,
            incarnation=self._incarnations[agent],
            others=self._agents,
            seed=self._random.getrandbits(32),
            careless=self._careless,
            store=self._store,
        )

    def _path(self, agent: str) -> Path:
        return self._folder / f"{agent}.{self._incarnations[agent]}.log"

    def _trouble(self, until_s: float) -> None:
        while (now_s := time.monotonic()) < until_s or (now_s < until_s + LONGER_S_MAX and not self._is_enough()):
            for agent, end_s in list(self._stopped_until_s.items()):
                if now_s >= end_s:
                    self._go_on(agent)
            self._random.choice([self._kill, self._stop, self._stop])(self._random.choice(self._agents))
            time.sleep(self._random.random() * self._pause_s)

    def _is_enough(self) -> bool:
        ops = [op for path in self._folder.glob("*.log") if b"\n" in path.read_bytes() for op in read_ops(path)[0]]
        return is_enough(ops)

    def _kill(self, agent: str) -> None:
        self._stopped_until_s.pop(agent, None)
        self._killed_s[self._path(agent)] = time.monotonic()
        self._children[agent].close()
        self.killed_count += 1
        self._start(agent)

    def _stop(self, agent: str) -> None:
        if agent not in self._stopped_until_s:
            self._children[agent].kill(signal.SIGSTOP)
            self._stopped_until_s[agent] = time.monotonic() + self._random.random() * 3 * SHORT_TTL_S
            self.stopped_count += 1

    def _go_on(self, agent: str) -> None:
        del self._stopped_until_s[agent]
        self._children[agent].kill(signal.SIGCONT)

    def _end(self) -> None:
        for agent in list(self._stopped_until_s):
            self._go_on(agent)
        for child in self._children.values():
            child.channel.send(end=True)
        for child in self._children.values():
            child.receive(END_S_MAX)
            child.wait()

    def _drain(self) -> None:
        """Deliver what is still waiting, as one more incarnation of each agent."""
        for agent in self._agents:
            self._incarnations[agent] += 1
            last = Worker(
                str(self._root),
                str(self._path(agent)),
                agent,
                self._incarnations[agent],
                self._agents,
                seed=0,
                store=self._store,
            )
            last.drain()

    def _read(self, commits: list[dict[str, Any]], watched: list[tuple[int, str, bool]]) -> History:
        ops: list[Op] = []
        killed: dict[tuple[int, int], float] = {}
        for path in sorted(self._folder.glob("*.log")):
            if not path.read_bytes().count(b"\n"):
                continue  # it was killed before it had said who it was
            told, process = read_ops(path)
            ops += told
            if path in self._killed_s:
                killed[process["pid"], process["start"]] = self._killed_s[path]
        files = {file: json.loads((self._root / file).read_text()) for file in FILES}
        return History(ops, commits, killed, files, watched)

    def _commits(self) -> list[dict[str, Any]]:
        """Every commit: of the journals, read by a program of its own, or of etcd's history."""
        if self._store == "files":
            return Folder(str(self._root)).commits()
        board = Latchboard(self._root, settings=Settings(store=self._store), publishes=False)
        try:
            return commits_of(board.store)
        finally:
            board.close()

    def is_free(self) -> bool:
        """Whether nobody holds or waits for anything."""
        board = Latchboard(self._root, settings=Settings(store=self._store), publishes=False)
        try:
            return not board.locks.check(list(FILES)) and not board.store.read("waiters/").scan("waiters/")
        finally:
            board.close()


def is_enough(ops: list[Op]) -> bool:
    """Whether enough of each call went well."""
    return all(sum(op.call == call and op.is_ok for op in ops) >= ENOUGH_COUNT for call in CALLS)


def commits_of(store: Any) -> list[dict[str, Any]]:
    """Every commit that a store can tell of."""
    watch = store.watch("", after=0)
    found: list[dict[str, Any]] = []
    while changes := watch.poll():
        for change in changes:
            if not found or found[-1]["revision"] != change.revision:
                commit = {"revision": change.revision, "at": change.at, "who": change.who}
                found.append({**commit, "puts": {}, "deletes": []})
            if change.value is None:
                found[-1]["deletes"].append(change.key)
            else:
                found[-1]["puts"][change.key] = change.value
    watch.close()
    return found
