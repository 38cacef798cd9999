"""Which workers should run, what becomes of a slot, and when a worker is started again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now, iso
from latchboard.rules import supervision as rules
from latchboard.rules.supervision import Slot, Want, Wanted

PACE = rules.Pace(first_s=1.0, max_s=60.0, steady_s=60.0)
PROCESS = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 42, "start": 7}


def at(s: float) -> Now:
    return Now(1_795_000_000.0 + s, s, "b")


def slot(number: int = 1, want: Want | None = None) -> Slot:
    return Slot("builder", number, want or Want(1), at(0))


def running(s: float = 0.0, want: Want | None = None) -> Slot:
    made = slot(want=want)
    made.has_started(PROCESS, want or Want(1), at(s))
    return made


def wanted(count: int, round: int = 0, asked: int = 0) -> Wanted:
    return Wanted(1, {"builder": Want(count, round, asked)})


# -- what is wanted


def test_what_is_asked_for_a_role_changes_that_role_alone() -> None:
    before = Wanted(4, {"builder": Want(3, 1, 2), "tester": Want(2, 5, 3)})

    after = rules.asked_for(before, {"builder": 1}, is_alone=False, is_restart=False)

    assert after.to_json()["roles"] == {
        "builder": {"count": 1, "round": 1, "asked": 5},
        "tester": {"count": 2, "round": 5, "asked": 3},
    }
    assert after.revision == 5


def test_a_restart_makes_the_round_grow_and_a_new_role_begins_at_zero() -> None:
    before = Wanted(4, {"builder": Want(3, 1, 2)})

    after = rules.asked_for(before, {"builder": 3, "tester": 1}, is_alone=False, is_restart=True)

    assert (after.roles["builder"].round, after.roles["tester"].round) == (2, 1)


def test_what_was_wanted_before_everything_ended_is_not_wanted_any_more() -> None:
    before = Wanted(4, {"builder": Want(3, 1, 2), "tester": Want(2, 5, 3)})

    after = rules.asked_for(before, {"builder": 1}, is_alone=True, is_restart=False)

    assert (after.count("builder"), after.count("tester"), after.roles["tester"].round) == (1, 0, 5)


def test_no_more_of_one_role_or_of_all() -> None:
    before = Wanted(4, {"builder": Want(3), "tester": Want(2)})

    one, everything = rules.not_wanted(before, ["builder"]), rules.not_wanted(before, None)

    assert (one.count("builder"), one.count("tester"), one.count("planner"), one.is_empty) == (0, 2, 0, False)
    assert everything.is_empty and everything.revision == 5


# -- slots


def test_a_worker_that_dies_is_started_again_later_each_time() -> None:
    one, now_s, pauses = running(), 0.0, []
    for _ in range(8):
        one.has_ended(1, at(now_s), PACE)
        assert rules.act(one, wanted(1), one.due_s - 0.001) == ""
        assert rules.act(one, wanted(1), one.due_s) == "start"
        pauses.append(one.due_s - now_s)
        now_s = one.due_s
        one.has_started(PROCESS, Want(1), at(now_s))

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert (one.deaths, one.in_a_row) == (8, 8)
    assert one.last == {"status": 1, "signal": None, "at": iso(1_795_000_000.0 + sum(pauses[:-1]))}


def test_a_steady_run_ends_the_row_and_not_the_tally() -> None:
    one = running()
    one.has_ended(1, at(1), PACE)
    one.has_started(PROCESS, Want(1), at(2))

    one.has_ended(-9, at(62), PACE)

    assert (one.deaths, one.in_a_row, one.due_s) == (2, 1, 63.0)
    assert one.last is not None and (one.last["status"], one.last["signal"]) == (None, 9)
    assert one.again_at == iso(1_795_000_063.0)


def test_an_end_that_nobody_knows_the_status_of_is_a_death() -> None:
    one = running()

    one.has_ended(None, at(1), PACE)

    assert one.state == "waiting" and one.deaths == 1
    assert one.last is not None and (one.last["status"], one.last["signal"]) == (None, None)


def test_who_cannot_run_is_not_started_until_somebody_asks_anew() -> None:
    one = running()

    one.has_ended(2, at(1), PACE)

    assert (one.state, one.deaths, one.again_at) == ("refused", 0, None)
    assert rules.act(one, wanted(1), 1e9) == ""
    assert rules.act(one, wanted(1, asked=5), 1.0) == "ask"
    one.goes("asked anew", at(2))
    assert rules.act(one, wanted(1, asked=5), 2.0) == "start"


def test_who_waits_is_started_at_once_when_somebody_asks_anew() -> None:
    one = running()
    one.has_ended(1, at(1), PACE)

    assert rules.act(one, wanted(1), 1.5) == ""
    assert rules.act(one, wanted(1, asked=5), 1.5) == "start"


def test_a_restart_ends_and_starts_and_counts_no_death() -> None:
    one, want = running(), wanted(1, round=1)
    assert rules.act(one, want, 1.0) == "stop"

    one.goes("told to end", at(1))
    assert rules.act(one, want, 1.0) == ""
    one.has_ended(0, at(2), PACE)

    assert (one.state, one.deaths, rules.act(one, want, 2.0)) == ("waiting", 0, "start")
    one.has_started(PROCESS, want.roles["builder"], at(2))
    assert rules.act(one, want, 3.0) == ""


@pytest.mark.parametrize("none", [wanted(0), Wanted(), Wanted(1, {"tester": Want(3)})])
def test_what_is_not_wanted_is_ended_and_then_gone(none: Wanted) -> None:
    one = running()
    assert rules.act(one, none, 1.0) == "stop"
    one.goes("told to end", at(1))
    assert rules.act(one, none, 1.0) == ""
    one.has_ended(-15, at(2), PACE)

    assert rules.act(one, none, 2.0) == "drop"
    one.goes("not wanted", at(2))
    assert rules.act(one, none, 2.0) == ""


def test_who_refused_and_is_not_wanted_is_gone() -> None:
    one = running()
    one.has_ended(2, at(1), PACE)

    assert rules.act(one, wanted(0), 1.0) == "drop"


def test_a_worker_that_survives_is_left_for_a_while() -> None:
    one = running()
    one.goes("told to end", at(1))
    one.goes("survived", at(2))
    one.due_s = 32.0

    assert [rules.act(one, wanted(0), s) for s in (2.0, 31.9, 32.0)] == ["", "", "stop"]


def test_a_worker_that_cannot_be_started_has_died_for_a_reason() -> None:
    one = slot()

    one.died("no process", at(0), PACE)

    assert (one.deaths, one.due_s, one.why) == (1, 1.0, "no process")


def test_slots_that_are_missing_are_named_in_their_order() -> None:
    both = Wanted(1, {"builder": Want(3), "tester": Want(1), "planner": Want(0)})

    assert rules.missing([slot(2)], both) == [("builder", 1), ("builder", 3), ("tester", 1)]


@given(st.sampled_from(sorted(rules.NEXT)), st.sampled_from(sorted({e for n in rules.NEXT.values() for e in n})))
def test_an_event_that_a_state_does_not_have_changes_nothing(state: Any, event: Any) -> None:
    one = slot()
    one.state = state
    before = one.to_json()

    if event in rules.NEXT[state]:
        one.goes(event, at(1))
        assert one.state == rules.NEXT[state][event]
    else:
        with pytest.raises(ValueError, match="cannot be"):
            one.goes(event, at(1))
        assert one.to_json() == before


def test_an_event_out_of_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="a slot that is waiting cannot be 'died'"):
        slot().has_ended(1, at(1), PACE)


def test_one_slot_of_the_record_is_found() -> None:
    record = {**slot().to_json(), "process": PROCESS}
    observed = rules.Observed(1, PROCESS, [record])

    assert observed.of("builder", 1) == record
    assert observed.of("builder", 2) is None
