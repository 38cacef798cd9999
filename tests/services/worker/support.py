"""A worker's project on a memory store, and commands that only say how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from latchboard.clock import SystemClock
from latchboard.host.tree import WorkTree
from latchboard.locks import Locks
from latchboard.rules.worker_role import Role
from latchboard.settings import Settings
from latchboard.store.memory import MemoryStore
from latchboard.store.wakeup import Wakeup
from latchboard.store.wrap import FaultyStore
from latchboard.testing import FakeHost
from latchboard.worker import Worker
from latchboard.worker.port import Ports
from latchboard.workqueue import WorkQueue

NAME = "worker.builder.1"
SETTINGS = Settings(queue_backoff_s=0.001, queue_backoff_s_max=0.001, wait_poll_s=0.05)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def say(self, event: str, **facts: object) -> None:
        self.lines.append((event.removeprefix("worker."), facts))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


class Manager:
    watchdog_s: float | None = None

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, *lines: str) -> None:
        self.told += lines


class Stop:
    def __init__(self) -> None:
        self.count = 0
        self.why = ""
        self.wakeup = Wakeup()

    def ask(self) -> None:
        self.count += 1
        self.why = "SIGTERM"
        self.wakeup.ring()


class Command:
    """Has ended when it is looked at, after it did something else."""

    def __init__(self, exit_code: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.exit_code: int | None = exit_code
        self.signal: int | None = None
        self.output = b"said"
        self.output_bytes = 4
        self.was_told: list[str] = []
        self._meanwhile = meanwhile

    def readables(self) -> Sequence[Any]:
        return ()

    def look(self) -> bool:
        self._meanwhile()
        return True

    def end(self) -> None:
        self.was_told.append("end")

    def end_now(self) -> None:
        self.was_told.append("kill")

    def end_keeper(self) -> None:
        self.was_told.append("kill keeper")


class Running(Command):
    """Runs until it is told to end."""

    def look(self) -> bool:
        self._meanwhile()
        return bool(self.was_told)


class Shaky(FaultyStore):
    """Commits have faults; whoever only looks has none."""

    def read(self, *wanted: str, at: int | None = None) -> Any:
        return self.inner.read(*wanted, at=at)

    def watch(self, prefix: str, *, after: int) -> Any:
        return self.inner.watch(prefix, after=after)


class Site:
    def __init__(self, root: str) -> None:
        self.faults: list[str | None] = []
        self.clock = SystemClock()
        self.store = Shaky(MemoryStore(clock=self.clock), faults=self._faults())
        locks = Locks(self.store, self.clock, FakeHost(), WorkTree(root), SETTINGS)
        self.queue = WorkQueue(self.store, SETTINGS, locks, lambda: 0.0)
        self.log, self.manager, self.stop = Log(), Manager(), Stop()
        self.commands: list[Any] = []
        self.started: list[Any] = []
        self.shown: list[str] = []
        self.before_claim: Callable[[], object] = lambda: None
        self.is_seated: Callable[[], bool] = lambda: True

    def _faults(self) -> Iterator[str | None]:
        while True:
            yield self.faults.pop(0) if self.faults else None

    def _start(self, environment: Any, text: bytes) -> Any:
        found = self.commands.pop(0)
        if isinstance(found, Exception):
            raise found
        self.started.append(found)
        return found

    def ports(self, clock: SystemClock | None = None) -> Ports:
        return Ports(
            clock=clock or self.clock,
            log=self.log,
            manager=self.manager,
            stop=self.stop,
            start=self._start,
            make_wakeup=Wakeup,
            environment={},
            show=lambda text, _: self.shown.append(text),
            before_claim=self.before_claim,
            is_seated=self.is_seated,
        )

    def worker(self, interval_s: float = 0.01, **table: Any) -> Worker:
        role = Role("builder", {"command": ["x"], **table})
        return Worker(NAME, role, "/", queue=self.queue, ports=self.ports(), interval_s=interval_s)

    def add(self, *ids: str, **draft: Any) -> None:
        self.queue.submit([{"id": i, "title": i, "role": "builder", **draft} for i in ids], by="test")

    def status(self, job_id: str) -> str:
        return str(self.queue.show(job_id)["job"]["status"])

    def outcomes(self, job_id: str) -> list[str]:
        return [one["outcome"] for one in self.queue.show(job_id)["job"]["attempts"]]
