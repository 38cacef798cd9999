"""Standing in line: a job whose files are not free keeps its place before who asks later, and starves nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import Deadlock, LockHeld, NothingReady
from latchboard.locks.claimed import Claimed
from latchboard.locks.waiting import queue, step
from latchboard.rules import workqueue as rules
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock
from tests.services.workqueue.support import SETTINGS, Bench

PLACE_S = SETTINGS.queue_place_s


def hold(bench: Bench, agent: str, *paths: str) -> Any:
    return bench.locks.acquire(bench.locks.request(agent, paths, bound="agent"))


def stand(bench: Bench, agent: str, *paths: str) -> Any:
    """Somebody takes a place in line behind whoever is there."""
    request = bench.locks.request(agent, paths, bound="agent")
    bench.locks.transact(agent, lambda table: queue(bench.locks, table, request, None))
    return request


def look(bench: Bench, request: Any) -> Any:
    """Whether it has it by now."""
    return bench.locks.transact(request.agent, lambda table: step(bench.locks, table, request))


def nothing(bench: Bench, role: str = "builder", owner: str = "w") -> NothingReady:
    with pytest.raises(NothingReady) as refused:
        bench.claim(role, owner)
    return refused.value


def places(bench: Bench) -> dict[str, Any]:
    return {value["job"]: value for _, value in bench.store.read("waiters/").scan("waiters/") if "job" in value}


def holders(bench: Bench, path: str) -> list[str]:
    return [one["agent"] for one in bench.locks.check([path], agent="nobody")]


def test_who_asks_later_waits_behind_the_job(bench: Bench) -> None:
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")
    assert nothing(bench).fields["held"] == ["a"]
    held.release()

    with pytest.raises(LockHeld, match=r"job\.a"):
        hold(bench, "late", "x")

    assert bench.claim()[0] == "a"
    assert holders(bench, "x") == ["w"]


def test_of_two_that_wait_the_first_goes_first_be_it_a_job_or_an_agent(bench: Bench) -> None:
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")
    early = stand(bench, "early", "x")
    nothing(bench)
    late = stand(bench, "late", "x")

    held.release()
    assert holders(bench, "x") == ["early"]
    nothing(bench)
    bench.locks.release_names("early")
    assert holders(bench, "x") == []
    job, token = bench.claim()
    assert (job, holders(bench, "x")) == ("a", ["w"])
    bench.queue.complete(job, token)

    assert holders(bench, "x") == ["late"]
    assert early.agent != late.agent


def test_a_job_for_many_files_is_not_passed_by_those_who_want_one(bench: Bench) -> None:
    """As in the locks: each of them would find its file free, and the job never both."""
    bench.add("a", files=["x", "y"])
    one = hold(bench, "p", "x")
    nothing(bench)

    for agent in ("q", "r", "s"):
        with pytest.raises(LockHeld):
            hold(bench, agent, "y")
    one.release()

    assert bench.claim()[0] == "a"
    assert set(bench.active()["a"]["locks"]) == {"x", "y"}


def test_jobs_stand_in_line_as_they_came(bench: Bench) -> None:
    bench.add("later", files=["x"], priority=0)
    held = hold(bench, "person", "x")
    nothing(bench)
    bench.add("first", files=["x"], priority=0)
    nothing(bench)

    held.release()

    assert bench.claim(owner="w")[0] == "later"
    nothing(bench, owner="v")
    assert list(places(bench)) == ["first"]


def test_who_is_first_in_line_is_tried_also_behind_one_that_wants_the_same(bench: Bench) -> None:
    """A job that comes before it in the queue may have come to the files later."""
    bench.add("a", files=["x", "y"], priority=9)
    held = hold(bench, "person", "x")
    nothing(bench)
    bench.add("b", files=["y"], priority=0)
    nothing(bench)
    held.release()

    assert [bench.claim(owner="v")[0], *places(bench)] == ["a", "b"]


def test_a_free_job_is_found_behind_many_that_want_one_file(bench: Bench) -> None:
    """One of them stands in line for all: the others are not even tried."""
    bench.add(*[f"a{n}" for n in range(100)], files=["x"])
    bench.add("free")
    hold(bench, "person", "x")

    assert bench.claim()[0] == "free"
    assert list(places(bench)) == ["a0"]


def test_a_claim_that_finds_nothing_has_an_end(bench: Bench) -> None:
    bench.add(*[f"a{n}" for n in range(40)], files=["x"])
    for n in range(40):
        bench.add(f"b{n}", files=[f"f{n}"])
    hold(bench, "person", "./")

    assert len(nothing(bench).fields["held"]) == 32

    bench.add("free")
    assert bench.claim()[0] == "free"


def test_a_waiting_job_keeps_nobody_else_from_being_claimed(bench: Bench) -> None:
    bench.add("a", files=["x"], priority=0)
    bench.add("b", files=["y"])
    bench.add("c")
    hold(bench, "person", "x")

    assert [bench.claim()[0], bench.claim()[0]] == ["b", "c"]


def test_whoever_has_what_the_job_waits_for_passes_it(bench: Bench) -> None:
    bench.add("a", files=["x", "y"])
    hold(bench, "person", "x")
    nothing(bench)

    assert hold(bench, "person", "y").names == ["y"]


def test_a_circle_through_a_waiting_job_is_refused(bench: Bench) -> None:
    """p waits behind the job for y, the job for q's x, q for what p has."""
    bench.add("a", files=["x", "y"])
    hold(bench, "q", "x")
    hold(bench, "p", "z")
    nothing(bench)
    stand(bench, "q", "z")

    with pytest.raises(Deadlock, match=r"job\.a"):
        stand(bench, "p", "y")


def test_a_place_that_no_claim_looks_at_holds_up_nobody_for_long(bench: Bench) -> None:
    """No worker is there, or its role is full: perhaps with the very agent that waits here."""
    bench.queue.set_limits(by="s", roles={"builder": 1})
    bench.add("a", priority=0)
    bench.add("b", files=["x"])
    held = hold(bench, "person", "x")
    nothing_but_a = bench.claim(owner="w")
    with pytest.raises(Exception, match="in progress"):
        bench.claim()
    bench.queue.complete(*nothing_but_a)
    nothing(bench)
    bench.add("a2", priority=0)
    bench.claim(owner="w")
    request = stand(bench, "w", "x")
    held.release()
    assert not hasattr(look(bench, request), "tokens")

    bench.clock.advance(PLACE_S + 1)

    assert look(bench, request).tokens


def test_a_place_lasts_while_claims_look_at_it_and_they_seldom_write(bench: Bench) -> None:
    bench.add("a", files=["x"])
    hold(bench, "person", "x")
    nothing(bench)
    since, commits = places(bench)["a"]["since"], set()

    for _ in range(100):
        bench.clock.advance(PLACE_S / 10)
        nothing(bench)
        commits.add(places(bench)["a"]["wait_s_max"])
        with pytest.raises(LockHeld, match=r"job\.a"):
            hold(bench, "late", "x")

    assert places(bench)["a"]["since"] == since
    assert len(commits) <= 20


def test_when_its_turn_has_come_the_place_says_so_in_the_commit_that_gave_back(bench: Bench) -> None:
    """Whoever waits for work is woken by that change, and need not ask again and again."""
    bench.add("a", files=["x", "y"])
    one, other = hold(bench, "p", "x"), hold(bench, "q", "y")
    nothing(bench)

    one.release()
    assert "is_next" not in places(bench)["a"]
    other.release()
    assert places(bench)["a"]["is_next"] is True
    held = bench.store.read("queue/active").revision
    assert held == places_revision(bench)


def places_revision(bench: Bench) -> int:
    return int(bench.store.read("waiters/").revision)


@pytest.mark.parametrize("event", ["cancel", "block"])
def test_a_job_that_leaves_the_line_leaves_that_of_its_files(bench: Bench, event: str) -> None:
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")
    nothing(bench)
    stand(bench, "late", "x")

    getattr(bench.queue, event)("a", by="lead")
    held.release()

    assert places(bench) == {}
    assert holders(bench, "x") == ["late"]


def test_a_job_that_is_claimed_by_its_name_stands_in_line_too(bench: Bench) -> None:
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")

    with pytest.raises(NothingReady):
        bench.claim(job="a")
    held.release()
    with pytest.raises(LockHeld):
        hold(bench, "late", "x")

    assert bench.claim(job="a")[0] == "a"


def test_two_claims_of_one_owner_never_share_a_lock(bench: Bench) -> None:
    """Else the first that ends would give back what the other one works on (guarantee 6)."""
    bench.add("a", "b", files=["x"])
    first = bench.claim(owner="w")

    nothing(bench, owner="w")
    bench.queue.complete(*first)
    second = bench.claim(owner="w")

    assert (second[0], holders(bench, "x")) == ("b", ["w"])
    bench.queue.complete(*second)
    assert holders(bench, "x") == []


def test_what_its_owner_held_already_stays_with_it_when_the_claim_ends(bench: Bench) -> None:
    bench.add("a", files=["x"])
    hold(bench, "w", "x")

    bench.queue.complete(*bench.claim(owner="w"))

    assert holders(bench, "x") == ["w"]


def test_a_turn_that_ends_leaves_the_locks_of_claims_alone(tmp_path: Path) -> None:
    """Else whoever works on a job by a client with hooks could not complete it."""
    board = Latchboard(str(tmp_path), publishes=False)
    board.queue.submit([{"id": "a", "title": "a", "role": "builder", "files": ["x"]}], by="s")
    token = board.queue.claim("builder", "w")["lease"]["token"]
    for name, end in (("y", lambda: board.editing.end("w")), ("z", lambda: board.locks.release_names("w"))):
        board.locks.acquire(board.locks.request("w", [name], bound="agent"))
        assert end() == [name]

    assert [one["agent"] for one in board.locks.check(["x"], agent="other")] == ["w"]
    assert board.queue.complete("a", token)["status"] == "done"
    assert board.locks.check(["x"], agent="other") == []
    board.close()


@pytest.mark.parametrize("value", [{"claims": 5}, {"claims": {"a": 5, "b": {"owner": "w", "locks": {"x": "1"}}}}])
def test_of_a_damaged_record_of_claims_no_lock_is_known(value: Any) -> None:
    store = MemoryStore(clock=ManualClock())
    store.transact(lambda view: view.put("queue/active", value), who="vandal")
    held: Any = {"agent": "w", "token": 1}

    assert not store.transact(lambda view: Claimed(view).has("x", held), who="w").value


def test_a_lock_that_cannot_be_read_stops_its_job_and_no_other(bench: Bench) -> None:
    bench.add("a", files=["x", "y"], priority=0)
    bench.add("b", files=["y"])
    bench.store.transact(lambda view: view.put("locks/x", {"nonsense": 1}), who="vandal")

    assert bench.claim()[0] == "b"
    assert nothing(bench).fields["held"] == ["a"]


def test_a_place_that_cannot_be_read_stops_its_job_and_no_other(bench: Bench) -> None:
    bench.add("a", files=["x"], priority=0)
    bench.add("b", files=["y"])
    key = f"waiters/{rules.place_id(bench.job('a'))}"
    bench.store.transact(lambda view: view.put(key, {"nonsense": 1}), who="vandal")

    assert bench.claim()[0] == "b"
    bench.queue.cancel("a", by="lead")
    assert bench.store.read(key).get(key) is None


def test_show_tells_what_a_job_stands_in_line_for(bench: Bench) -> None:
    bench.add("a", files=["x"])
    assert bench.queue.show("a")["place"] is None
    hold(bench, "person", "x")
    nothing(bench)

    place = bench.queue.show("a")["place"]

    assert [one["agent"] for one in place["blocked_by"]] == ["person"]
    assert place["wants"] == [{"name": "x", "mode": "exclusive"}]


def test_a_place_is_never_granted_to_the_job(bench: Bench) -> None:
    """Nobody would work on it, and nobody else could have the file."""
    bench.add("a", files=["x"])
    held = hold(bench, "person", "x")
    nothing(bench)
    held.release()

    bench.locks.transact("somebody", lambda table: table.advance(["x"]))

    assert holders(bench, "x") == []


def test_the_place_is_one_for_each_attempt(bench: Bench) -> None:
    bench.add("a", files=["x"])
    first = rules.place_id(bench.job("a"))
    bench.queue.release(*bench.claim())

    assert rules.place_id(bench.job("a")) != first
