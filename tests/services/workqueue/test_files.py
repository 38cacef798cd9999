"""Files of a claim: what is kept, given back and granted where a lock was lost, damaged, or has ended meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import LeaseExpired, LockHeld
from latchboard.locks.breaking import break_lock
from latchboard.rules import holding
from tests.services.workqueue.support import Bench
from tests.services.workqueue.test_hostile import plant
from tests.services.workqueue.test_standing import PLACE_S, hold, holders, nothing, places, stand


def record(bench: Bench, name: str) -> Any:
    """A lock as it is written, without a look at what has ended."""
    key = f"locks/{name}"
    return bench.store.read(key).get(key) or {"holders": [], "waiters": []}


def written(bench: Bench, name: str) -> list[str]:
    return [one["agent"] for one in record(bench, name)["holders"]]


def test_no_more_than_a_hundred_and_twenty_eight_are_passed(bench: Bench) -> None:
    bench.add(*[f"a{n}" for n in range(128)], files=["x"])
    bench.add("free")
    hold(bench, "person", "x")
    assert nothing(bench).fields["held"] == ["a0"]

    bench.queue.cancel("a127", by="lead")

    assert bench.claim()[0] == "free"


def test_behind_all_that_are_tried_only_who_is_next_is_tried(bench: Bench) -> None:
    for n in range(3):
        bench.add(f"a{n}", files=[f"d/{n}"], priority=9)
    one = hold(bench, "p", "d/2")
    hold(bench, "q", "d/0", "d/1", "e/")
    assert len(nothing(bench).fields["held"]) == 3
    drafts = [{"title": "t", "role": "builder", "files": [f"e/{n}"], "priority": 0} for n in range(32)]
    front = [job["id"] for job in bench.queue.submit(drafts, by="s")]

    assert nothing(bench).fields["held"] == front

    one.release()
    assert bench.claim()[0] == "a2"


def test_who_depends_on_a_job_does_not_cost_it_its_place(bench: Bench) -> None:
    bench.add("a", files=["x"])
    hold(bench, "person", "x")
    nothing(bench)
    before = places(bench)

    bench.add("b", dependencies=["a"])

    assert places(bench) == before
    assert len(record(bench, "x")["waiters"]) == 1


def test_what_its_owner_locked_again_is_not_what_the_claim_took(bench: Bench) -> None:
    """Somebody else may have had it in between."""
    bench.add("a", files=["x"])
    job, token = bench.claim(owner="w", ttl_s=100)
    bench.clock.advance(100)
    hold(bench, "other", "x").release()
    hold(bench, "w", "x")

    with pytest.raises(LeaseExpired):
        bench.queue.complete(job, token)
    bench.queue.release(job, token)

    assert holders(bench, "x") == ["w"]


def test_what_its_owner_held_for_long_already_lasts_as_long_as_the_claim(bench: Bench) -> None:
    bench.add("a", files=["x"])
    bench.locks.acquire(bench.locks.request("w", ["x"], bound="agent", ttl_s=100))
    bench.clock.advance(90)
    job, token = bench.claim(owner="w", ttl_s=100)
    bench.clock.advance(90)

    assert bench.queue.complete(job, token)["status"] == "done"


def test_what_its_owner_held_already_is_afterwards_by_its_own_request_alone(bench: Bench) -> None:
    bench.add("a", files=["x"])
    hold(bench, "w", "x")
    before = [holding.claims(one) for one in record(bench, "x")["holders"]]

    bench.queue.complete(*bench.claim(owner="w"))

    assert [holding.claims(one) for one in record(bench, "x")["holders"]] == before


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_claim_that_does_not_say_by_which_request_gives_back_what_its_token_is_of(
    bench: Bench, is_lost: bool
) -> None:
    bench.add("a", files=["x"])
    job, token = bench.claim(owner="w", ttl_s=100)
    lease = {k: v for k, v in bench.active()["a"].items() if k != "lock_request"}
    plant(bench, "queue/active", {"claims": {"a": lease}})
    if is_lost:
        bench.clock.advance(100)
        hold(bench, "other", "x").release()
        hold(bench, "w", "x")

    bench.queue.release(job, token)

    assert holders(bench, "x") == (["w"] if is_lost else [])


def test_of_locks_of_which_one_cannot_be_read_the_others_are_given_back(bench: Bench) -> None:
    bench.add("a", files=["x", "y"])
    bench.claim(owner="w")
    plant(bench, "locks/x", {"nonsense": 1})

    bench.queue.cancel("a", by="lead")

    assert holders(bench, "y") == []


def test_a_lock_that_was_broken_is_free_for_another_claim(bench: Bench) -> None:
    bench.add("a", "b", files=["x"])
    bench.claim(owner="w")
    break_lock(bench.locks, "x", by="operator", reason="a test")

    nothing(bench, owner="w")  # its own first claim says that it works on it
    assert bench.claim(owner="v")[0] == "b"


def test_a_folder_of_one_claim_is_no_second_ones_of_the_same_owner(bench: Bench) -> None:
    bench.add("a", files=["src/"])
    bench.add("b", files=["src/x"])
    bench.claim(owner="w")

    assert nothing(bench, owner="w").fields["held"] == ["b"]


def test_a_job_is_not_next_any_more_when_a_claim_finds_its_files_not_free(bench: Bench) -> None:
    bench.add("a", "b", files=["x"])
    bench.claim(owner="w")
    nothing(bench, owner="w")
    break_lock(bench.locks, "x", by="operator", reason="a test")
    assert places(bench)["b"]["is_next"] is True

    nothing(bench, owner="w")

    assert "is_next" not in places(bench)["b"]


def test_who_stands_behind_a_job_moves_up_when_it_leaves(bench: Bench) -> None:
    """Nobody gives anything back then: the file was free, and the job's turn."""
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")
    nothing(bench)
    stand(bench, "late", "x")
    held.release()
    assert written(bench, "x") == []

    bench.queue.cancel("a", by="lead")

    assert written(bench, "x") == ["late"]


def test_a_claim_that_meets_what_has_ended_gives_it_to_who_stands_first(bench: Bench) -> None:
    bench.add("a", files=["x"])
    bench.locks.acquire(bench.locks.request("person", ["x"], bound="agent", ttl_s=10))
    stand(bench, "first", "x")
    bench.clock.advance(10)

    nothing(bench)

    assert written(bench, "x") == ["first"]
    assert list(places(bench)) == ["a"]


def test_a_claim_that_clears_what_has_ended_lets_on_who_waited_for_more_of_it(bench: Bench) -> None:
    bench.locks.acquire(bench.locks.request("person", ["src/"], bound="agent", ttl_s=10))
    stand(bench, "late", "src/b")
    bench.clock.advance(10)
    bench.add("a", files=["src/a"])

    assert bench.claim()[0] == "a"

    assert written(bench, "src/b") == ["late"]


def test_a_place_lasts_from_the_last_claim_that_looked_at_it(bench: Bench) -> None:
    """Without a gap, as long as claims come oftener than it lasts."""
    bench.add("a", files=["x", "y"])
    hold(bench, "person", "x")
    nothing(bench)

    for _ in range(4):
        bench.clock.advance(PLACE_S * 0.6)
        with pytest.raises(LockHeld, match=r"job\.a"):
            hold(bench, "late", "y")
        nothing(bench)


def test_a_job_whose_file_became_a_link_stands_where_the_link_leads(bench: Bench, tmp_path: Path) -> None:
    bench.add("a", files=["x"])
    hold(bench, "person", "x")
    nothing(bench)
    before = places(bench)["a"]
    (tmp_path / "x").symlink_to(tmp_path / "y")
    hold(bench, "person", "y")

    nothing(bench)

    after = places(bench)["a"]
    assert (before["wants"][0]["name"], after["wants"][0]["name"]) == ("x", "y")
    assert ([len(record(bench, name)["waiters"]) for name in "xy"], list(places(bench))) == ([0, 1], ["a"])


def test_a_place_in_line_is_the_jobs_own(bench: Bench) -> None:
    """Not that of the agent or the process that came with the claim: it outlives both."""
    bench.add("a", files=["x"])
    hold(bench, "person", "x")
    nothing(bench, owner="w")

    place = places(bench)["a"]

    assert (place["agent"], place["lease"], place["bound"], place["process"]) == ("job.a", "job.a", "agent", {})
    assert (place["attended"], place["wait_s_max"], place["ttl_s"]) == (False, PLACE_S, PLACE_S)
