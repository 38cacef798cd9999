"""Clocks that jump: a pause that a wrong clock wrote keeps nobody for longer than a right one could."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.errors import NothingReady
from latchboard.rules import watch_job
from latchboard.settings import Settings
from latchboard.store.port import Change
from latchboard.workqueue import repairing
from tests.services.engine import needs_large_commits
from tests.services.workqueue.support import SETTINGS, Bench

DAY_S = 86400.0
LONGEST_S = SETTINGS.queue_backoff_s_max + 60
"""The longest pause, and how far apart the clocks of two hosts may be."""


def test_the_longest_pause_and_the_skew_are_less_than_a_lease() -> None:
    known = Settings()

    assert known.queue_backoff_s_max + 60 < known.queue_lease_ttl_s


@pytest.mark.parametrize("jump_s", [DAY_S, 3600.0, 90.0, 30.0, -30.0, -3600.0, -DAY_S, 400 * DAY_S])
@pytest.mark.parametrize("ended", ["failed", "expired"])
def test_what_failed_under_a_wrong_clock_is_claimed_soon_after_it_is_right(
    bench: Bench, jump_s: float, ended: str
) -> None:
    bench.add("a")
    job, token = bench.claim(ttl_s=5)
    bench.clock.jump_wall(jump_s)
    if ended == "failed":
        bench.queue.fail(job, token, error="e")
    else:
        bench.clock.advance(6)
        with pytest.raises(NothingReady):
            bench.claim()

    bench.clock.jump_wall(-jump_s)
    bench.clock.advance(LONGEST_S)

    assert bench.claim()[0] == "a"


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_pause_that_a_jump_meets_is_over_when_the_clock_is_right_again(bench: Bench, jump_s: float) -> None:
    bench.add("a")
    bench.queue.fail(*bench.claim(), error="e")
    bench.clock.jump_wall(jump_s)
    bench.add("b", role="tester")
    bench.claim("tester")
    bench.clock.jump_wall(-jump_s)
    bench.clock.advance(10)

    assert bench.claim()[0] == "a"


def test_a_pause_under_a_right_clock_is_kept(bench: Bench) -> None:
    bench.add("a", attempts_max=9)
    for pause_s in (10, 20, 40, 60, 60):
        bench.queue.fail(*bench.claim(), error="e")
        assert bench.job("a")["is_paused"]
        bench.clock.advance(pause_s - 1)
        with pytest.raises(NothingReady) as refused:
            bench.claim()
        assert refused.value.fields["ready_at"] == bench.job("a")["ready_at"]
        bench.clock.advance(1)


def test_what_somebody_put_off_until_a_day_waits_for_it_however_clocks_jump(bench: Bench) -> None:
    """And hides no pause that a wrong clock wrote."""
    bench.add("far", ready_at="2099-01-01T00:00:00Z")
    bench.add("paused")
    bench.clock.jump_wall(DAY_S)
    bench.queue.fail(*bench.claim(), error="e")
    bench.clock.jump_wall(-DAY_S)

    assert bench.claim()[0] == "paused"
    with pytest.raises(NothingReady) as refused:
        bench.claim()
    assert refused.value.fields["ready_at"] == "2099-01-01T00:00:00.000000Z"


def test_what_a_wrong_clock_wrote_is_found_behind_however_many_that_pause(bench: Bench) -> None:
    now_s = bench.clock.now().wall_s
    bench.add(*[f"j{n}" for n in range(70)], ready_at=iso(now_s + 50))
    bench.add("wrong", ready_at=iso(now_s + DAY_S))

    def pause(view: Any) -> None:
        for key, job in view.scan("jobs/"):
            view.put(key, {**job, "is_paused": True})

    bench.store.transact(pause, who="vandal")
    repairing.repair(bench.store, by="doctor")

    assert bench.claim()[0] == "wrong"
    assert len(bench.lines()["paused"]) == 70


def test_the_next_time_is_the_sooner_one_of_both_lines(bench: Bench) -> None:
    bench.add("far", ready_at="2099-01-01T00:00:00Z")
    bench.add("a")
    bench.queue.fail(*bench.claim(), error="e")

    with pytest.raises(NothingReady) as refused:
        bench.claim()

    assert refused.value.fields["ready_at"] == bench.job("a")["ready_at"]


def test_the_longest_pause_of_a_host_whose_clock_is_ahead_is_kept(bench: Bench) -> None:
    bench.add("a", attempts_max=9)
    for _ in range(3):
        bench.queue.fail(*bench.claim(), error="e")
        bench.clock.advance(60)
    claim = bench.claim()
    bench.clock.jump_wall(50)
    bench.queue.fail(*claim, error="e")
    bench.clock.jump_wall(-50)

    with pytest.raises(NothingReady):
        bench.claim()

    bench.clock.advance(110)
    assert bench.claim()[0] == "a"


@pytest.mark.parametrize("event", ["cancel", "block"])
def test_what_is_set_aside_does_not_pause_any_more(bench: Bench, event: str) -> None:
    bench.add("a")
    bench.queue.fail(*bench.claim(), error="e")

    after = getattr(bench.queue, event)("a", by="lead")

    assert after["ready_at"] is None
    assert "is_paused" not in after
    back = bench.queue.requeue("a", by="lead") if event == "cancel" else bench.queue.unblock("a", by="lead")
    assert "is_paused" not in back
    assert bench.claim()[0] == "a"


@needs_large_commits
def test_a_named_job_is_looked_at_itself_however_many_wait_before_it(bench: Bench) -> None:
    """Only 64 come back in one claim."""
    bench.add(*[f"j{n}" for n in range(70)], ready_at="2026-11-22T00:00:00Z")
    bench.clock.advance(2 * DAY_S)

    assert bench.claim(job="j69")[0] == "j69"
    assert len(bench.lines()["later"]) == 5


def test_the_line_of_pauses_is_mended_like_every_other(bench: Bench) -> None:
    bench.add("a", "b")
    for _ in range(2):
        bench.queue.fail(*bench.claim(), error="e")
    bench.store.transact(lambda view: view.delete("queue/paused.0"), who="vandal")

    repairing.repair(bench.store, by="doctor")

    assert bench.lines() == {"paused": ["a", "b"]}


def test_a_line_of_pauses_that_no_job_stands_in_is_taken_away(bench: Bench) -> None:
    place = ["2026-11-21T00:00:00.000000Z", 1, "gone"]

    def plant(view: Any) -> None:
        view.put("queue/paused", {"sheets": [{"start": place, "sheet": 0}], "next": 1})
        view.put("queue/paused.0", {"places": [place]})

    bench.store.transact(plant, who="vandal")

    repairing.repair(bench.store, by="doctor")

    assert bench.store.read("queue/").scan("queue/") == []


def test_a_job_that_pauses_is_not_told_as_ready_when_something_of_it_changes(bench: Bench) -> None:
    at = iso(bench.clock.now().wall_s)
    (job,) = bench.add("a")
    job = {**job, "created_at": "2026-11-20T00:00:00.000000Z", "changed_at": at}

    def told(**fields: Any) -> list[str]:
        return [event for event, _ in watch_job.tell(Change(7, at, "lead", "jobs/a", {**job, **fields}))]

    assert told() == ["job.ready"]
    assert told(ready_at=at) == told(ready_at=at, is_paused=True) == []
