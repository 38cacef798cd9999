"""The board by status, as data: what comes first in each column, and what a card says."""

from __future__ import annotations

from typing import Any

from latchboard.clock import iso
from latchboard.workqueue.columns import columns
from tests.services.workqueue.support import Bench


def board(bench: Bench, **how: Any) -> dict[str, Any]:
    found = columns(bench.queue.look(), bench.clock.now(), **how)
    return {column["status"]: column for column in found["columns"]}


def ids(column: dict[str, Any]) -> list[str]:
    return [card["id"] for card in column["jobs"]]


def test_first_is_what_is_claimed_first_and_of_what_is_over_the_newest(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 9})
    bench.add("needed", priority=2)
    bench.add("waits", dependencies=["needed"], priority=0)
    bench.add("soon", ready_at=iso(bench.clock.now().wall_s + 10), priority=0)
    bench.add("late", ready_at=iso(bench.clock.now().wall_s + 20), priority=0)
    bench.add("second", "third", priority=5)
    bench.add("first", priority=1)
    for name in ("old", "new"):
        bench.add(name)
        bench.clock.advance(1)
        bench.queue.complete(*bench.claim(job=name))
    bench.claim(job="third")
    bench.claim(job="first")

    found = board(bench)

    assert ids(found["ready"]) == ["needed", "second", "soon", "late", "waits"]
    assert ids(found["in_progress"]) == ["third", "first"]
    assert ids(found["done"]) == ["new", "old"]
    assert list(found) == ["ready", "in_progress", "done"]


def test_a_column_says_whose_it_is_and_how_many_are_not_shown(bench: Bench) -> None:
    bench.add("a", "b", "c", role="tester")
    bench.claim("tester")

    found = board(bench, cards_count=1)

    waiting, work = found["awaiting_test"], found["testing"]
    assert (waiting["count"], ids(waiting), waiting["role"], waiting["is_work"]) == (2, ["b"], "tester", False)
    assert (work["count"], ids(work), work["role"], work["is_work"]) == (1, ["a"], "tester", True)


def test_a_card_has_the_newest_error_until_the_job_is_over(bench: Bench) -> None:
    bench.add("a")
    bench.queue.fail(*bench.claim(), error="the first")
    bench.clock.advance(10)
    bench.queue.fail(*bench.claim(), error="x" * 400 + "the second")
    (card,) = board(bench)["ready"]["jobs"]
    assert (len(card["error"]), card["error"][-10:], card["attempts_count"]) == (300, "the second", 2)
    assert (card["owner"], card["remaining_s"], card["since"]) == (None, None, iso(bench.clock.now().wall_s))

    bench.clock.advance(20)
    claim = bench.claim(owner="w", ttl_s=60)
    bench.clock.advance(15)
    (card,) = board(bench)["in_progress"]["jobs"]
    assert (card["owner"], card["remaining_s"], card["since"]) == ("w", 45.0, iso(bench.clock.now().wall_s - 15))

    bench.queue.complete(*claim)
    assert board(bench)["done"]["jobs"][0]["error"] == ""
