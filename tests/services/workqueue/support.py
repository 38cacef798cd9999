"""A queue on a store and a manual clock, and what must be true of its records at any revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from latchboard.host.tree import WorkTree
from latchboard.locks import Locks
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from latchboard.workqueue import WorkQueue
from latchboard.workqueue.lines import Line

SETTINGS = Settings(queue_backoff_s=10, queue_backoff_s_max=60)


class Bench:
    """A queue, its clock, and other processes on the same store."""

    def __init__(
        self, store: Any, clock: ManualClock, root: str, *, jitter: float = 0.0, settings: Settings = SETTINGS
    ) -> None:
        self.store = store
        self.clock = clock
        self.host = FakeHost()
        self.locks = Locks(store, clock, self.host, WorkTree(root), settings)
        self.queue = WorkQueue(store, settings, self.locks, lambda: jitter)

    def add(self, *ids: str, role: str = "builder", **draft: Any) -> list[Any]:
        return self.submit([{"id": i, "title": i, "role": role, **draft} for i in ids])

    def submit(self, drafts: list[dict[str, Any]]) -> list[Any]:
        """In as many commits as the engine needs."""
        count = max(1, self.store.properties.transaction_keys_max // 3)  # a job, the one it waits for, and a line
        parts = [drafts[at : at + count] for at in range(0, len(drafts), count)] or [[]]
        return [one for part in parts for one in self.queue.submit(part, by="submitter", durable=False)]

    def claim(self, role: str = "builder", owner: str = "w", **named: Any) -> tuple[str, int]:
        claimed = self.queue.claim(role, owner, durable=False, **named)
        return claimed["job"]["id"], claimed["lease"]["token"]

    def job(self, job_id: str) -> Any:
        return self.store.read(f"jobs/{job_id}").get(f"jobs/{job_id}")

    def active(self) -> dict[str, Any]:
        return dict((self.store.read("queue/active").get("queue/active") or {"claims": {}})["claims"])

    def lines(self) -> dict[str, list[str]]:
        """Every line, as the ids in it; sheets and indexes are what the chapter says."""
        return lines(self.store)

    def problems(self) -> list[str]:
        """What is not as it must be: places, claims, dependents."""
        return problems(self.store)


def lines(store: Any) -> dict[str, list[str]]:
    names = [key for key, value in store.read("queue/").scan("queue/") if "sheets" in value]

    def read(view: Any) -> dict[str, list[str]]:
        return {key[6:]: [place[2] for place in Line(view, key[6:]).places()] for key in names}

    return read(_Looking(store))


class _Looking:
    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        return self._store.read(key).get(key)


def problems(store: Any) -> list[str]:
    snapshot = store.read("jobs/", "queue/", "waiters/")
    all_jobs = {key[5:]: value for key, value in snapshot.scan("jobs/")}
    found = [f"{i}: {wrong}" for i, job in all_jobs.items() if (wrong := jobs.check_job(job, i))]
    expected: dict[str, list[Any]] = {}
    for job in all_jobs.values():
        if place := rules.place(job):
            expected.setdefault(place[0], []).append(place[1])
    wanted = {name: [place[2] for place in sorted(places)] for name, places in expected.items()}
    if lines(store) != wanted:
        found.append(f"lines are {lines(store)}, and must be {wanted}")
    claims = {**dict(snapshot.scan("queue/")).get("queue/active", {"claims": {}})["claims"]}
    at_work = {i: job["token"] for i, job in all_jobs.items() if job["token"] is not None}
    if {i: lease["token"] for i, lease in claims.items()} != at_work:
        found.append(f"claims are {claims}, at work is {at_work}")
    for key, waiter in snapshot.scan("waiters/"):
        job = all_jobs.get(waiter.get("job", ""))
        is_there = job is not None and (rules.place(job) or [""])[0].startswith("ready.")
        if "job" in waiter and (not is_there or key != f"waiters/{rules.place_id(job)}"):
            found.append(f"{key} stands in line, and its job does not")
    for i, job in all_jobs.items():
        for needed in job["waits_for"]:
            if all_jobs[needed]["status"] == "done" or i not in all_jobs[needed]["dependents"]:
                found.append(f"{i} waits for {needed}, which is {all_jobs[needed]['status']}")
    return found


@contextmanager
def bench_on(kind: str, folder: str, settings: Settings = SETTINGS) -> Iterator[Bench]:
    """A queue on a store in memory or in files, whose records are right when it is left."""
    clock = ManualClock()
    made = MemoryStore(clock=clock, settings=settings) if kind == "memory" else None
    with closing(made or FileStore(folder, clock=clock, settings=settings)) as store:
        bench = Bench(store, clock, folder, settings=settings)
        yield bench
        assert bench.problems() == []
