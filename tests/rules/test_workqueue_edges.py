"""Edges of the rules of the work queue: the greatest and the least that is taken, and what comes just behind it."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_repair as repairs
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
    said = "x" * jobs.ERROR_CHARS_MAX + "y" * more

    error = jobs.ended(compose(), claim_of(), "failed", at=AT, error=said)["attempts"][0]["error"]

    assert len(error) == jobs.ERROR_CHARS_MAX
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
