"""Claiming: whose turn it is, in which order, within which limits, under which lease."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import (
    NothingReady,
    NotReady,
    StaleToken,
    StoreUnavailable,
    UsageError,
    WipLimitReached,
    WrongStatus,
)
from latchboard.rules import workqueue as rules
from tests.machines.test_mailbox import Shaky
from tests.services.workqueue.support import Bench

LIMITS = {"planner": 1, "builder": 3, "tester": 2, "refiner": 1, "integrator": 1, "painter": 1}


def test_the_lowest_priority_goes_first_then_the_oldest(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 9})
    bench.add("late", priority=9)
    bench.add("first", "second", priority=5)
    bench.add("urgent", priority=0)

    assert [bench.claim()[0] for _ in range(4)] == ["urgent", "first", "second", "late"]


def test_a_claim_is_the_newest_revision_and_says_who_since_when(bench: Bench) -> None:
    bench.add("a")

    claimed = bench.queue.claim("builder", "w", ttl_s=60)

    lease = claimed["lease"]
    assert lease["token"] == claimed["job"]["token"] == bench.store.read("queue/active").revision
    assert {k: lease[k] for k in ("task_id", "role", "owner", "ttl_seconds")} == {
        "task_id": "a",
        "role": "builder",
        "owner": "w",
        "ttl_seconds": 60.0,
    }
    assert lease["started_at"] == lease["heartbeat_at"]
    assert claimed["job"]["status"] == "in_progress"


@pytest.mark.parametrize(("role", "limit"), LIMITS.items())
def test_no_more_than_its_limit_of_every_role(bench: Bench, role: str, limit: int) -> None:
    bench.add(*[f"j{n}" for n in range(limit + 1)], role=role)
    for _ in range(limit):
        bench.claim(role)

    with pytest.raises(WipLimitReached) as refused:
        bench.claim(role)

    assert (refused.value.fields["role"], refused.value.fields["limit"]) == (role, limit)
    assert len(bench.active()) == limit


def test_no_more_than_the_total_of_all_roles(bench: Bench) -> None:
    bench.queue.set_limits(by="s", total=2)
    bench.add("a", "b")
    bench.add("t", role="tester")
    bench.claim()
    bench.claim()

    with pytest.raises(WipLimitReached) as refused:
        bench.claim("tester")

    fields = {name: refused.value.fields[name] for name in ("role", "limit", "in_progress")}
    assert fields == {"role": None, "limit": 2, "in_progress": 2}


def test_a_limit_that_is_lowered_ends_no_claim(bench: Bench) -> None:
    bench.add("a", "b", "c")
    claims = [bench.claim(), bench.claim()]
    bench.queue.set_limits(by="s", roles={"builder": 1})

    with pytest.raises(WipLimitReached):
        bench.claim()

    for job, token in claims:
        assert bench.queue.complete(job, token)["status"] == "done"


def test_what_is_not_named_keeps_its_limit(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 7, "painter": 2}, total=9)
    bench.queue.set_limits(by="s", roles={"painter": None})
    bench.add("p", role="welder")
    bench.claim("welder")

    found = bench.queue.limits()

    own = {role: one["limit"] for role, one in found["roles"].items() if not one["is_default"]}
    assert (own, found["total"], found["in_progress"]) == ({"builder": 7}, 9, 1)
    assert found["roles"]["welder"] == {"limit": 1, "in_progress": 1, "is_default": True}
    bench.queue.set_limits(by="s", total=None)
    assert bench.queue.limits()["total"] is None


@pytest.mark.parametrize("roles", [{"builder": -1}, {"builder": 1.5}, {"A": 1}, {"builder": True}])
def test_what_is_no_limit_is_refused(bench: Bench, roles: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        bench.queue.set_limits(by="s", roles=roles)

    assert bench.store.read("queue/limits").get("queue/limits") is None


def test_the_role_must_be_the_one_whose_turn_it_is(bench: Bench) -> None:
    bench.add("a", role="tester")

    for role in ("builder", "planner", "refiner", "integrator", "painter"):
        with pytest.raises(NothingReady):
            bench.claim(role)
    with pytest.raises(WrongStatus):
        bench.claim("builder", job="a")

    assert bench.claim("tester")[0] == "a"


def test_what_waits_is_not_ready(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", dependencies=["a"], priority=0)

    with pytest.raises(NotReady) as refused:
        bench.claim(job="b")
    assert refused.value.fields["waits_for"] == ["a"]

    job, token = bench.claim()
    assert job == "a"
    with pytest.raises(NothingReady):
        bench.claim()
    bench.queue.complete(job, token)
    assert bench.claim()[0] == "b"


def test_a_job_is_not_claimed_before_its_time(bench: Bench) -> None:
    bench.add("a", ready_at=_in(bench, 100))

    with pytest.raises(NothingReady) as refused:
        bench.claim()
    assert refused.value.fields["ready_at"] == _in(bench, 100)
    with pytest.raises(NotReady):
        bench.claim(job="a")

    bench.clock.advance(100)
    assert bench.claim()[0] == "a"


def test_an_idle_poll_commits_nothing(bench: Bench) -> None:
    bench.add("a", role="tester")
    before = bench.store.read("queue/active").revision

    for _ in range(10):
        with pytest.raises(NothingReady):
            bench.claim()

    assert bench.store.read("queue/active").revision == before


def test_a_live_lease_is_never_taken(bench: Bench) -> None:
    bench.add("a")
    job, token = bench.claim(ttl_s=100)
    bench.clock.jump_wall(1e8)

    bench.clock.advance(99)
    with pytest.raises(NothingReady):
        bench.claim(owner="thief")
    bench.clock.jump_wall(-2e8)
    with pytest.raises(NothingReady):
        bench.claim(owner="thief")

    assert bench.queue.complete(job, token)["status"] == "done"


@pytest.mark.parametrize(
    "heartbeat",
    ["2026-11-21T01:00:00Z", "2026-11-21T03:00:00+02:00", "2026-11-21T01:00:00", "2099-01-01T00:00:00Z", "?"],
)
def test_a_live_lease_of_another_writer_is_never_taken(bench: Bench, heartbeat: str) -> None:
    bench.add("a")
    job, token = bench.claim(ttl_s=3 * 3600)
    lease = {**bench.active()["a"], "heartbeat_at": heartbeat}
    del lease["heartbeat_mono_s"], lease["heartbeat_boot"]
    bench.store.transact(lambda view: view.put("queue/active", {"claims": {"a": lease}}), who="another")

    with pytest.raises(NothingReady):
        bench.claim(owner="thief")

    assert bench.queue.complete(job, token)["status"] == "done"


def test_what_expired_comes_back_and_its_owner_is_refused(bench: Bench) -> None:
    bench.add("a")
    job, late = bench.claim(owner="late", ttl_s=100)
    bench.clock.advance(100)

    with pytest.raises(NothingReady) as refused:
        bench.claim("tester", owner="anybody")  # whoever claims brings it back
    assert refused.value.fields["ready_at"] == _in(bench, 10)
    bench.clock.advance(10)
    _, token = bench.claim(owner="next")

    assert token > late
    before = bench.store.read("queue/active").revision
    for call in (
        lambda: bench.queue.renew(job, late),
        lambda: bench.queue.complete(job, late),
        lambda: bench.queue.fail(job, late, error="e"),
        lambda: bench.queue.release(job, late),
    ):
        with pytest.raises(StaleToken, match="ended \\(expired\\)"):
            call()
    assert bench.store.read("queue/active").revision == before
    assert [a["outcome"] for a in bench.job("a")["attempts"]] == ["expired"]


def test_who_finishes_late_but_before_the_next_claim_has_finished(bench: Bench) -> None:
    bench.add("a")
    job, token = bench.claim(ttl_s=100)
    bench.clock.advance(1000)

    assert bench.queue.complete(job, token, result="r")["status"] == "done"
    with pytest.raises(NothingReady):
        bench.claim()


def test_renewing_keeps_a_claim_for_longer_than_its_time(bench: Bench) -> None:
    bench.add("a")
    job, token = bench.claim(ttl_s=100)

    for _ in range(30):
        bench.clock.advance(99)
        bench.queue.renew(job, token)
        with pytest.raises(NothingReady):
            bench.claim(owner="thief")

    assert bench.queue.complete(job, token)["status"] == "done"


def test_all_claims_of_an_agent_are_renewed_at_once_and_nobody_elses(bench: Bench) -> None:
    bench.add("a", "b", "c")
    for owner in ("w", "other", "w"):
        bench.claim(owner=owner, ttl_s=100)
    bench.clock.advance(60)

    assert bench.queue.renew_all("w") == ["a", "c"]

    bench.clock.advance(60)
    bench.add("d")
    assert bench.claim(owner="next")[0] == "d"
    assert set(bench.active()) == {"a", "c", "d"}
    before = bench.store.read("queue/active").revision
    assert bench.queue.renew_all("nobody") == []
    assert bench.store.read("queue/active").revision == before


def test_a_reboot_expires_by_the_wall_clock(bench: Bench) -> None:
    bench.add("a")
    bench.claim(ttl_s=100)
    bench.clock.reboot(off_s=99)
    with pytest.raises(NothingReady):
        bench.claim(owner="thief")
    assert bench.job("a")["status"] == "in_progress"

    bench.clock.advance(1)
    with pytest.raises(NothingReady):
        bench.claim()
    assert bench.job("a")["status"] == "ready"


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), "60", True])
def test_what_is_no_lease_time_is_refused(bench: Bench, ttl_s: Any) -> None:
    bench.add("a")

    with pytest.raises(UsageError):
        bench.claim(ttl_s=ttl_s)

    assert bench.active() == {}


def test_nobody_is_no_owner_and_nothing_is_no_job(bench: Bench) -> None:
    with pytest.raises(UsageError):
        bench.claim(owner="")
    with pytest.raises(UsageError, match="no job x"):
        bench.claim(job="x")
    with pytest.raises(UsageError, match="a job's id"):
        bench.queue.complete("../x", 7)


def test_three_hundred_jobs_are_claimed_in_order(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 1})
    ids = [f"j{n}" for n in range(300)]
    bench.add(*ids)

    done = []
    for _ in ids:
        job, token = bench.claim()
        bench.queue.complete(job, token, durable=False)
        done.append(job)

    assert done == ids
    assert bench.lines() == {}


def _in(bench: Bench, s: float) -> str:
    from latchboard.clock import iso

    return iso(bench.clock.now().wall_s + s)


def test_the_limits_of_the_chapter_are_the_defaults() -> None:
    assert {role: rules.limit(None, role) for role in LIMITS} == LIMITS


def test_a_fault_behind_the_commit_of_a_claim_loses_no_token(bench: Bench) -> None:
    bench.add("a", "b")
    shaky = Shaky(bench.store)
    bench.queue.store = shaky
    shaky.fails = "after"

    claimed = bench.queue.claim("builder", "w", durable=False)

    assert bench.active()["a"] == claimed["lease"]
    shaky.fails = "before"
    with pytest.raises(StoreUnavailable):
        bench.queue.claim("builder", "w", durable=False)
    assert list(bench.active()) == ["a"]
    assert bench.queue.complete("a", claimed["lease"]["token"])["status"] == "done"
