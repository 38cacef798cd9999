"""What is told of the queue: lists, counts, what is stuck, who waits for whom; nothing of it is written."""

from __future__ import annotations

import pytest

from latchboard.errors import MalformedRecord, UsageError
from tests.services.workqueue.support import Bench


def test_a_job_is_shown_with_its_claim(bench: Bench) -> None:
    bench.add("a", "b")
    _, token = bench.claim(owner="w")

    shown = bench.queue.show("a")

    assert (shown["job"]["status"], shown["lease"]["owner"], shown["lease"]["token"]) == ("in_progress", "w", token)
    assert bench.queue.show("b")["lease"] is None
    with pytest.raises(UsageError, match="no job c"):
        bench.queue.show("c")


def test_jobs_are_listed_in_the_order_of_claims(bench: Bench) -> None:
    bench.add("a", "b")
    bench.add("c", priority=1)
    bench.add("t", role="tester")
    bench.claim(owner="w")
    look = bench.queue.look()

    assert [job["id"] for job in look.listed()] == ["c", "a", "b", "t"]
    assert [job["id"] for job in look.listed(status="ready")] == ["a", "b"]
    assert [job["id"] for job in look.listed(role="tester")] == ["t"]
    assert [job["id"] for job in look.listed(owner="w")] == ["c"]
    with pytest.raises(UsageError, match="no status"):
        look.listed(status="resting")


def test_counts_by_status_and_role(bench: Bench) -> None:
    bench.add("a", "b", "c")
    bench.add("d", dependencies=["b"])
    bench.add("t", role="tester", ready_at="2099-01-01T00:00:00Z")
    bench.claim(ttl_s=10)
    bench.clock.advance(10)

    stats = bench.queue.look().stats(bench.clock.now())

    assert stats["by_status"] == {"ready": 3, "in_progress": 1, "awaiting_test": 1}
    assert stats["roles"] == {
        "builder": {"ready": 2, "waiting": 1, "in_progress": 1, "limit": 3},
        "tester": {"ready": 0, "waiting": 1, "in_progress": 0, "limit": 2},
    }
    assert (stats["jobs"], stats["expired"], stats["total_limit"]) == (5, ["a"], None)


def test_what_waits_for_a_dead_job_is_stuck(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", dependencies=["a"])
    bench.add("c", dependencies=["b"])
    bench.queue.fail(*bench.claim(), error="e", is_final=True)

    stats = bench.queue.look().stats(bench.clock.now())

    assert stats["stuck"] == [{"job": "b", "waits_for": "a", "status": "dead"}]
    assert stats["dead"] == ["a"]


def test_who_waits_for_whom(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", dependencies=["a"])
    bench.add("part", parent="b")
    bench.queue.complete(*bench.claim(job="a"))

    graph = bench.queue.look().graph()

    assert [node["id"] for node in graph["jobs"]] == ["a", "b", "part"]
    assert graph["edges"] == [
        {"from": "a", "to": "b", "kind": "dependency", "is_open": False},
        {"from": "part", "to": "b", "kind": "sub-task", "is_open": True},
    ]


def test_a_damaged_job_hides_no_other(bench: Bench) -> None:
    bench.add("a", "b")
    kept = bench.job("a")
    bench.store.transact(lambda view: view.put("jobs/a", {"id": "z"}), who="vandal")

    look = bench.queue.look()

    assert list(look.jobs) == ["b"]
    assert [exc.fields["key"] for exc in look.damaged] == ["jobs/a"]
    bench.store.transact(lambda view: view.put("jobs/a", kept), who="repair")


@pytest.mark.parametrize("key", ["queue/active", "queue/limits"])
def test_damaged_claims_and_limits_are_told(bench: Bench, key: str) -> None:
    bench.store.transact(lambda view: view.put(key, {"nonsense": True}), who="vandal")

    with pytest.raises(MalformedRecord, match=key):
        bench.queue.look()

    bench.store.transact(lambda view: view.delete(key), who="repair")
