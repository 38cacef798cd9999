"""One machine with one store and one folder; processes of it, each with a Latchboard of its own."""

from __future__ import annotations

import json
from typing import Any

from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.locks import Hold, Refusal
from latchboard.locks.waiting import leave, queue, step
from latchboard.rules.lock import Request
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock


class Process:
    """One process: a Latchboard whose host says so."""

    def __init__(self, scene: Scene, host: FakeHost) -> None:
        self.scene = scene
        self.host = host
        store = scene.another_store()
        self.board = Latchboard(
            scene.root, clock=scene.clock, host=host, store=store, settings=scene.settings, publishes=False
        )
        self.locks = self.board.locks

    def agent(self, agent_id: str) -> Any:
        return self.board.agent(agent_id)

    def kill(self) -> None:
        self.scene.machine.kill(self.host.me())

    def recycle(self) -> None:
        self.scene.machine.recycle(self.host.me())

    def line(self, agent: str, *paths: str, **options: Any) -> InLine:
        return InLine(self, agent, paths, **options)


class Scene:
    """A machine whose clock and processes are the test's."""

    def __init__(
        self, root: Any, *, is_memory: bool = True, is_real_time: bool = False, engine: Any = None, **settings: Any
    ) -> None:
        """`engine(clock, settings)` makes a store on the test's state, where it is neither in memory nor in files."""
        self.root = str(root)
        self.settings = Settings(**settings)
        self.clock: Any = SystemClock() if is_real_time else ManualClock()
        self.machine = FakeHost()
        self._engine = engine
        self._memory = MemoryStore(clock=self.clock, settings=self.settings) if is_memory else None
        self.store = self.another_store()

    def another_store(self) -> Any:
        """The same state, as another process has it."""
        if self._engine is not None:
            return self._engine(self.clock, self.settings)
        if self._memory is None:
            return FileStore(self.root, clock=self.clock, settings=self.settings)
        return MemoryStore(clock=self.clock, settings=self.settings, beside=self._memory)

    def process(self) -> Process:
        return Process(self, self.machine.as_process(self.machine.spawn()))

    def stranger(self) -> Process:
        """A living process in another pid namespace: unknowable from here."""
        return Process(self, self.machine.as_process(self.machine.other_namespace()))

    def reboot(self) -> None:
        """Every process is gone; the boards of old processes must not be used any more."""
        self.machine.reboot()
        self.clock.reboot()

    def record(self, name: str) -> Any:
        return self.store.read(f"locks/{name}").get(f"locks/{name}")

    def holders(self, name: str) -> list[tuple[str, str]]:
        """(agent, mode) of everybody in the record, whether it is over or not."""
        record = self.record(name)
        return [(held["agent"], held["mode"]) for held in record["holders"]] if record else []

    def put(self, key: str, value: Any) -> None:
        """Write a record behind the back of the locks."""
        self.store.transact(lambda view: view.delete(key) if value is None else view.put(key, value), who="test")

    def scan(self, collection: str) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = self.store.read(collection).scan(collection)
        return found

    def everything(self) -> str:
        """All records but mail and leases, to compare with."""
        kept = {key: value for name in ("locks/", "waiters/", "agents/") for key, value in self.scan(name)}
        kept["wide"] = self.store.read("wide").get("wide")
        return json.dumps(kept, sort_keys=True)

    def is_empty(self) -> bool:
        """Whether there is no holder, no waiter and no index left."""
        return not self.scan("locks/") and not self.scan("waiters/") and self.store.read("wide").get("wide") is None

    def mail(self, agent: str) -> list[Any]:
        return sorted((m for _, m in self.scan(f"messages/{agent}/")), key=lambda m: m["revision"])

    def traces(self, kind: str) -> list[Any]:
        watch = self.store.watch(f"log/{kind}", after=0)
        try:
            return [change.value for change in watch.poll()]
        finally:
            watch.close()

    def commits(self, key: str) -> list[Any]:
        """Every change of a record, oldest first."""
        watch = self.store.watch(key, after=0)
        try:
            return [change for change in watch.poll() if change.key == key]
        finally:
            watch.close()


class InLine:
    """A request that waits, one transaction at a time."""

    def __init__(self, process: Process, agent: str, paths: tuple[str, ...], **options: Any) -> None:
        self.wait_s_max = options.pop("wait_s_max", None)
        self.attended = options.pop("attended", True)
        self.handoff = options.pop("handoff", None)
        self.locks = process.locks
        self.request: Request = self.locks.request(agent, paths, **options)
        self.outcome: Hold | Refusal = self.locks.transact(
            agent,
            lambda table: queue(
                self.locks, table, self.request, self.wait_s_max, attended=self.attended, handoff=self.handoff
            ),
        )

    @property
    def id(self) -> str:
        return self.request.request

    @property
    def waits(self) -> bool:
        """Whether its place in line is there."""
        return self.locks.store.read(f"waiters/{self.id}").get(f"waiters/{self.id}") is not None

    @property
    def holds(self) -> bool:
        """Whether somebody's commit made it the holder: its record has gone and it is among the holders."""
        return not self.waits and isinstance(self.look(), Hold)

    def look(self) -> Hold | Refusal | None:
        """What `step` would say, without a new place when there is none."""
        from latchboard.locks.waiting import _granted_meanwhile

        return _granted_meanwhile(self.locks, self.request)

    def step(self) -> Hold | Refusal:
        self.outcome = self.locks.transact(
            self.request.agent, lambda table: step(self.locks, table, self.request, self.wait_s_max)
        )
        return self.outcome

    def leave(self) -> Hold | None:
        refusal = self.outcome
        assert isinstance(refusal, Refusal)
        left: Hold | None = self.locks.transact(
            self.request.agent, lambda table: leave(self.locks, table, self.request, refusal)
        )
        return left

    def give_up(self) -> None:
        self.locks.undo(self.request)
