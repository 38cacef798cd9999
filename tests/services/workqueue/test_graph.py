"""Who waits for whom, in large: what it costs, how deep it goes, and what becomes of those that wait for a failure."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import NothingReady, NotReady
from tests.services.workqueue.support import Bench


class Counted:
    """A store that counts the jobs which its transactions read."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.jobs_count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def transact(self, fn: Any, **options: Any) -> Any:
        return self._store.transact(lambda view: fn(_CountedView(view, self)), **options)


class _CountedView:
    def __init__(self, view: Any, store: Counted) -> None:
        self._view = view
        self._counted = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def get(self, key: str) -> Any:
        self._counted.jobs_count += key.startswith("jobs/")
        return self._view.get(key)


def chain(bench: Bench, count: int, name: str = "c") -> None:
    """Each waits for the one before it; the last has the first turn, if it were for priorities."""
    drafts = [
        {
            "id": f"{name}{n}",
            "title": "t",
            "role": "builder",
            "priority": count - n,
            "dependencies": [f"{name}{n - 1}"] if n else [],
        }
        for n in range(count)
    ]
    bench.submit(drafts)


def test_a_long_chain_begins_with_its_first(bench: Bench) -> None:
    chain(bench, 300)

    assert bench.claim() == ("c0", bench.active()["c0"]["token"])
    with pytest.raises(NothingReady):
        bench.claim()
    bench.queue.complete("c0", bench.active()["c0"]["token"], durable=False)
    assert bench.claim()[0] == "c1"


def test_what_a_submission_reads_does_not_grow_with_what_it_waits_for(bench: Bench) -> None:
    """It looks for a circle among the new ones alone: nobody that was there before waits for them."""
    counted: Any = Counted(bench.store)
    read = []
    for count in (2, 200):
        chain(bench, count, f"chain{count}-")
        bench.queue.store = counted
        counted.jobs_count = 0
        last = f"chain{count}-{count - 1}"
        drafts = [{"id": f"{last}-{n}", "title": "t", "role": "builder", "dependencies": [last]} for n in range(3)]
        bench.queue.submit(drafts, by="s", durable=False)
        bench.queue.store = bench.store
        read.append(counted.jobs_count)

    assert read[0] == read[1] > 0


def test_what_waits_for_a_failure_is_told_and_goes_on_when_it_is_brought_back(bench: Bench) -> None:
    bench.add("a")
    bench.add("left", dependencies=["a"], attempts_max=1)
    bench.add("right", dependencies=["a"])
    bench.add("end", dependencies=["left", "right"])
    bench.queue.complete(*bench.claim())
    assert bench.queue.fail(*bench.claim(), error="no")["status"] == "dead"
    bench.queue.complete(*bench.claim())

    assert bench.queue.look().stuck() == [{"job": "end", "waits_for": "left", "status": "dead"}]
    with pytest.raises(NothingReady):
        bench.claim()
    with pytest.raises(NotReady):
        bench.claim(job="end")

    bench.queue.cancel("left", by="lead")
    assert bench.queue.look().stuck() == [{"job": "end", "waits_for": "left", "status": "cancelled"}]
    bench.queue.requeue("left", by="lead")
    assert bench.queue.look().stuck() == []
    order = []
    for _ in range(2):
        order.append(bench.claim())
        bench.queue.complete(*order[-1])
    assert [job for job, _ in order] == ["left", "end"]
