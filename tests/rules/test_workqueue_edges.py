"""Edges of the rules of the work queue: the greatest and the least that is taken, and what comes just behind it."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules import workqueue_repair as repairs
from latchboard.rules import workqueue_size as sizes
from latchboard.testing import ManualClock
from tests.rules.test_workqueue import AT, claim_of, compose

LATER = "2026-11-21T07:00:00.000000Z"


@pytest.mark.parametrize(
    ("field", "most", "over"),
    [
        ("priority", jobs.PRIORITY_MAX, jobs.PRIORITY_MAX + 1),
        ("attempts_max", 1000, 1001),
        ("title", "x" * jobs.TITLE_CHARS_MAX, "x" * (jobs.TITLE_CHARS_MAX + 1)),
        ("files", ["x"] * jobs.LIST_COUNT_MAX, ["x"] * (jobs.LIST_COUNT_MAX + 1)),
    ],
)
def test_the_greatest_is_taken_and_one_more_is_not(field: str, most: Any, over: Any) -> None:
    assert compose(**{field: most})[field] == most
    with pytest.raises(UsageError):
        compose(**{field: over})


@pytest.mark.parametrize("wrap", [lambda one: [one], lambda one: (one,), lambda one: {"": one}], ids="ltd")
def test_two_hundred_levels_of_any_kind_are_kept_and_one_more_is_refused(wrap: Any) -> None:
    value: Any = 1
    for _ in range(jobs.DATA_NESTED_MAX):
        value = wrap(value)

    assert jobs.check_data("payload", value) == value
    with pytest.raises(UsageError, match="nested"):
        jobs.check_data("payload", wrap(value))


def test_what_is_nested_beyond_every_stack_is_refused_and_no_crash() -> None:
    value: Any = []
    for _ in range(200_000):
        value = [value]

    with pytest.raises(UsageError, match="payload"):
        jobs.check_data("payload", value)


@pytest.mark.parametrize("limit", [0, rules.WIP_LIMIT_MAX])
def test_a_limit_has_a_greatest_value_too(limit: int) -> None:
    assert rules.check_limits({"roles": {"builder": limit}, "total": limit}) == ""
    over = rules.WIP_LIMIT_MAX + 1
    assert rules.check_limits({"roles": {"builder": over}})
    assert rules.check_limits({"roles": {}, "total": over})


def test_a_total_of_zero_stops_every_role() -> None:
    assert rules.full({"roles": {}, "total": 0}, {}, "builder") == {"role": None, "limit": 0, "in_progress": 0}


@pytest.mark.parametrize(("role", "goes_to"), [("painter", "painter"), ("builder", "builder"), ("tester", "builder")])
def test_what_is_ready_again_stays_with_a_role_of_ones_own_and_else_is_the_builders(role: str, goes_to: str) -> None:
    job = jobs.claimed(compose(role=role), 7, AT)

    assert jobs.completed(job, claim_of(), at=AT, result=None, to="ready")["role"] == goes_to


@pytest.mark.parametrize("more", [0, 1])
def test_an_error_of_the_greatest_length_is_kept_whole(more: int) -> None:
    said = "x" * sizes.ERROR_CHARS_MAX + "y" * more

    error = jobs.ended(compose(), claim_of(), "failed", at=AT, error=said)["attempts"][0]["error"]

    assert len(error) == sizes.ERROR_CHARS_MAX
    assert (error == said) is (more == 0)


def test_a_place_in_line_for_files_is_that_of_the_newest_attempt() -> None:
    job = jobs.ended(compose(), claim_of(), "released", at=AT)
    job = jobs.ended(job, {**claim_of(), "token": 9}, "released", at=AT)

    assert rules.place_id(job) == "job.a.9"


def test_a_pause_has_an_end_also_after_more_attempts_than_there_can_be() -> None:
    """A record of another writer may say any number."""
    assert jobs.backoff_s(10**6, first_s=10.0, max_s=3600.0, jitter=0.0) == 3600


def test_a_plan_that_was_cancelled_is_planned_anew() -> None:
    plan = {**compose(role="planner"), "status": "planning_complete"}

    after = jobs.returned(jobs.set_aside(plan, None, "cancel", at=AT, reason="no"), "requeue", at=AT)

    assert (after["status"], after["role"]) == ("needs_plan", "planner")
    assert not {"reason", "aside_from"} & after.keys()


@pytest.mark.parametrize(
    ("role", "then", "goes_to", "left"),
    [
        ("planner", ["builder", "tester"], "builder", ["tester"]),
        ("planner", ["tester"], "builder", ["tester"]),
        ("painter", ["builder"], "painter", ["builder"]),
    ],
)
def test_a_plan_that_is_accepted_is_the_builders_and_what_comes_after_stays(
    role: str, then: list[str], goes_to: str, left: list[str]
) -> None:
    plan = {**compose(role=role, then=then), "status": "planning_complete"}

    after = jobs.returned(plan, "accept", at=AT)

    assert (after["status"], after["role"], after["then"]) == ("ready", goes_to, left)


def test_what_comes_back_has_not_been_where_it_goes_afterwards_and_waits_for_no_time() -> None:
    job = compose(then=["builder", "tester"], ready_at=LATER)

    aside = jobs.set_aside(job, None, "block", at=AT, reason="")
    after = jobs.returned({**aside, "ready_at": LATER}, "unblock", at=AT)

    assert aside["ready_at"] is None
    assert (after["then"], after["ready_at"]) == (["builder", "tester"], None)


def test_a_claim_that_was_lost_before_it_counted_is_not_uncounted() -> None:
    job = {**jobs.claimed(compose(), 7, AT), "attempts_count": 0}

    made = repairs.plan({"a": job}, {"queue/numbers": {"submitted": 1}}, at=LATER)

    assert (made.jobs["a"]["attempts_count"], made.jobs["a"]["changed_at"]) == (0, LATER)
    assert made.jobs["a"]["attempts"][0]["ended_at"] == LATER


def test_what_was_said_to_be_done_before_what_it_depends_on_is_no_damage() -> None:
    """A file of jobs that is read in may say so."""
    needed = compose()
    done = {**compose(dependencies=["b"]), "status": "done"}
    done, needed = {**done, "id": "a"}, {**needed, "id": "b", "number": 2}
    line = {"start": [50, 2, "b"], "sheet": 0}
    records: dict[str, Any] = {
        "queue/numbers": {"submitted": 2},
        "queue/ready.builder": {"sheets": [line], "next": 1},
        "queue/ready.builder.0": {"places": [[50, 2, "b"]]},
    }

    assert repairs.plan({"a": done, "b": needed}, records, at=LATER).faults == {}


def test_a_renewal_counts_after_a_restart_too() -> None:
    clock = ManualClock()
    lease = leases.new("a", role="builder", owner="b", token=7, ttl_s=60.0, now=clock.now())
    clock.advance(50)
    lease = leases.renewed(lease, clock.now())
    clock.reboot(off_s=20)

    assert leases.remaining_s(lease, clock.now()) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "b"},
        {"task_id": "-"},
        {"role": "A"},
        {"owner": ""},
        {"token": "7"},
        {"ttl_seconds": 0},
        {"started_at": 7},
        {"heartbeat_at": None},
        {"heartbeat_boot": 7},
        {"heartbeat_mono_s": "7"},
    ],
    ids=str,
)
def test_a_claim_with_one_part_that_is_wrong_cannot_be_read(change: dict[str, Any]) -> None:
    assert leases.check_active({"claims": {"a": claim_of()}}) == ""
    assert "'a' cannot be read" in leases.check_active({"claims": {"a": {**claim_of(), **change}}})


def test_a_claim_under_an_id_that_is_none_cannot_be_read() -> None:
    assert leases.check_active({"claims": {"../a": claim_of("../a")}})


@pytest.mark.parametrize("submitted", ["7", True, 7.5, None, -1])
def test_a_number_that_is_none_is_told_and_mended(submitted: Any) -> None:
    made = repairs.plan({}, {"queue/numbers": {"submitted": submitted, "colour": "red"}}, at=LATER)

    assert made.faults.keys() == {"queue/numbers"}
    assert made.records["queue/numbers"] == {"submitted": 0, "colour": "red"}


@pytest.mark.parametrize("last", [3, 5])
def test_a_sheet_that_begins_before_the_one_in_front_ends_is_the_one_that_is_told(last: int) -> None:
    found: Any = {one: {**compose(priority=n), "id": one, "number": n} for n, one in ((1, "a"), (3, "b"), (5, "c"))}
    places = {n: [n, n, one] for n, one in ((1, "a"), (3, "b"), (5, "c"))}
    records: dict[str, Any] = {
        "queue/numbers": {"submitted": 5},
        "queue/ready.builder": {
            "sheets": [{"start": places[1], "sheet": 0}, {"start": places[3], "sheet": 1}],
            "next": 2,
        },
        "queue/ready.builder.0": {"places": [places[1], places[last]]},
        "queue/ready.builder.1": {"places": [places[3], places[5]]},
    }

    assert repairs.plan(found, records, at=LATER).faults == {"queue/ready.builder.1": "it has places of another sheet"}


@pytest.mark.parametrize("record", ["queue/later", "queue/later.1"])
def test_a_line_of_times_with_priorities_in_it_cannot_be_read(record: str) -> None:
    found: Any = {one: {**compose(ready_at=LATER), "id": one, "number": n} for n, one in ((1, "a"), (2, "b"))}
    starts = [[1, 1, "a"], [2, 2, "b"]] if record == "queue/later" else [[LATER, 1, "a"], [LATER, 2, "b"]]
    records: dict[str, Any] = {
        "queue/numbers": {"submitted": 2},
        "queue/later": {"sheets": [{"start": start, "sheet": n} for n, start in enumerate(starts)], "next": 2},
        "queue/later.0": {"places": [[LATER, 1, "a"]]},
        "queue/later.1": {"places": [[LATER, 2, "b"] if record == "queue/later" else [2, 2, "b"]]},
    }

    assert repairs.plan(found, records, at=LATER).faults == {record: "it cannot be read"}
