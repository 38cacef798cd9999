from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now
from latchboard.rules import holding as holdings
from latchboard.rules import lock as rules

HERE = {"host": "m", "boot": "b", "pid_ns": 1, "pid": 10, "start": 100}
THERE = {**HERE, "pid": 11, "start": 110}
START = Now(1_795_225_200.0, 1000.0, "b")
LATER = Now(1_795_225_260.0, 1060.0, "b")


def request(
    number: str, *, bound: Any = "process", ttl_s: float = 60.0, process: Any = HERE, agent: str = "a"
) -> rules.Request:
    lease = agent if bound == "agent" else f"{agent}#{process['pid']}"
    return rules.Request(number, rules.Asker(agent, bound, process, lease), [], ttl_s=ttl_s)


def hold(number: str = "r1", *, mode: Any = "exclusive", token: int = 5, **more: Any) -> Any:
    return holdings.new(request(number, **more), mode, token, START)


def enter(held: Any, number: str, *, mode: Any = "exclusive", token: int = 9, **more: Any) -> Any:
    again = holdings.entered(held, request(number, **more), mode, token, LATER)
    assert holdings.check(again) == ""
    return again


def leave(held: Any, number: str, bound: str = "process") -> Any:
    after = holdings.left(held, number, bound, LATER)
    assert after is None or holdings.check(after) == ""
    return after


def test_hold_of_a_process_is_counted_by_request() -> None:
    nested = enter(enter(hold("r1"), "r2"), "r3")

    assert (nested["depth"], holdings.entries(nested)) == (3, ["r1", "r2", "r3"])
    assert leave(leave(leave(nested, "r2"), "r1"), "r3") is None


def test_outer_entry_may_leave_before_the_inner_one() -> None:
    rest = leave(enter(hold("r1"), "r2"), "r1")

    assert (rest["depth"], holdings.entries(rest), rest["request"]) == (1, ["r2"], "r1")
    assert not holdings.is_in(rest, "r1", "process")
    assert holdings.is_in(rest, "r2", "process")


def test_request_that_is_granted_twice_is_one_entry__failure_3_31() -> None:
    held = hold("r1")

    assert enter(held, "r1") == held


def test_hold_of_an_agent_is_idempotent() -> None:
    held = hold("r1", bound="agent")

    again = enter(held, "r2", bound="agent")

    assert again == {**held, "claims": ["r1", "r2"]}
    assert (again["depth"], enter(again, "r2", bound="agent")) == (1, again)
    assert leave(again, "r2", "agent") is None  # any request of the agent gives its claim back


def test_process_inside_the_hold_of_its_agent_leaves_the_claim() -> None:
    both = enter(hold("r1", bound="agent"), "r2")

    assert (both["bound"], both["depth"], both["lease"], holdings.entries(both)) == ("agent", 2, "a", ["r2"])
    rest = leave(both, "r2")
    assert (rest["bound"], rest["depth"], holdings.entries(rest)) == ("agent", 1, [])


def test_claim_that_is_given_back_leaves_the_process_its_hold_under_its_own_lease() -> None:
    both = enter(hold("r1", bound="agent"), "r2")

    rest = leave(both, "r1", "agent")

    assert (rest["bound"], rest["depth"], rest["lease"], holdings.entries(rest)) == ("process", 1, "a#10", ["r2"])
    assert not holdings.is_in(rest, "r1", "agent")
    assert leave(rest, "r2") is None


def test_claim_on_the_hold_of_a_process_begins_its_lease_time_anew() -> None:
    held = hold("r1", ttl_s=60.0)

    claimed = enter(held, "r2", bound="agent", ttl_s=30.0)

    assert (claimed["bound"], claimed["lease"], claimed["depth"]) == ("agent", "a", 2)
    assert claimed["acquired"]["mono_s"] == LATER.mono_s  # the renewals so far were of another lease
    assert claimed["ttl_s"] == 60.0  # the outer block counts on it
    assert leave(leave(claimed, "r1"), "r2", "agent") is None
    rest = leave(claimed, "r2", "agent")
    assert (rest["bound"], rest["lease"], rest["request"]) == ("process", "a#10", "r1")
    assert "claim" not in rest and "entry_lease" not in rest


def test_longer_lease_time_counts_from_now() -> None:
    held = hold("r1", ttl_s=60.0)

    longer, shorter = enter(held, "r2", ttl_s=600.0), enter(held, "r2", ttl_s=6.0)

    assert (longer["ttl_s"], longer["acquired"]["mono_s"]) == (600.0, LATER.mono_s)
    assert (shorter["ttl_s"], shorter["acquired"]["mono_s"]) == (60.0, START.mono_s)


def test_entries_of_a_process_end_with_it() -> None:
    both = enter(enter(hold("r1", bound="agent"), "r2"), "r3")

    next_one = enter(both, "r4", bound="agent", process=THERE)

    assert (next_one["depth"], holdings.entries(next_one), next_one["process"]) == (1, [], THERE)
    assert leave(next_one, "r4", "agent") is None


def test_shared_to_exclusive_gives_a_new_token_and_the_old_one_stays_good() -> None:
    upgraded = enter(hold("r1", mode="shared", token=5), "r2", token=9)

    assert (upgraded["mode"], upgraded["token"], upgraded["first_token"]) == ("exclusive", 9, 5)
    assert holdings.shows_token(upgraded, 5) and holdings.shows_token(upgraded, 9)
    assert not holdings.shows_token(upgraded, 7)
    assert not holdings.shows_token(hold(token=5), 9)


def test_shared_inside_exclusive_stays_exclusive() -> None:
    assert enter(hold("r1"), "r2", mode="shared")["mode"] == "exclusive"


def test_claim_of_a_process_that_is_gone_joins_the_hold_of_the_next_one() -> None:
    theirs = hold("r0", bound="agent", mode="shared", token=3, process=THERE, ttl_s=600.0)
    ours = hold("r1", mode="shared")

    joined = holdings.joined(ours, theirs, LATER)

    assert holdings.check(joined) == ""
    assert (joined["bound"], joined["lease"], joined["depth"], joined["ttl_s"]) == ("agent", "a", 2, 600.0)
    assert (leave(joined, "r1") or {}).get("bound") == "agent"
    assert (leave(joined, "r9", "agent") or {}).get("bound") == "process"
    assert holdings.joined(theirs, ours, LATER) is theirs  # a claim is there, and entries of another process are over


@pytest.mark.parametrize("bound", ["process", "agent"])
def test_what_a_request_did_can_be_taken_back(bound: Any) -> None:
    held = hold("r1", bound=bound)

    assert holdings.undone(held, "r1", LATER) is None
    assert holdings.undone(held, "r9", LATER) is held


def test_entry_is_taken_back_without_the_others() -> None:
    nested = enter(hold("r1"), "r2")

    assert holdings.undone(nested, "r2", LATER) == hold("r1")


def test_claim_is_taken_back_only_by_the_request_that_made_it() -> None:
    fresh = hold("r1", bound="agent")
    same = enter(fresh, "r2", bound="agent")
    claimed = enter(hold("r1"), "r2", bound="agent")

    assert holdings.undone(same, "r2", LATER) == fresh  # it was there before
    assert holdings.undone(same, "r1", LATER) == {**fresh, "claims": ["r2"]}  # and another one has it meanwhile
    assert (holdings.undone(claimed, "r2", LATER) or {}).get("bound") == "process"
    assert (holdings.undone(claimed, "r1", LATER) or {}).get("bound") == "agent"


def test_claim_of_a_process_that_is_gone_outlives_the_undoing_of_the_next_one() -> None:
    older = hold("r1", bound="agent")
    here = enter(older, "r2", bound="agent", process=THERE)
    both = enter(here, "r3", bound="agent", process=THERE)
    joined = holdings.joined(hold("r4", bound="agent", process=THERE), older, LATER)

    assert holdings.undone(here, "r2", LATER) is here
    assert holdings.undone(both, "r3", LATER) == here
    assert holdings.undone(joined, "r4", LATER) is not None


def test_claims_that_are_too_many_to_be_told_apart_are_settled() -> None:
    held = hold("r0", bound="agent")
    for number in range(1, 9):
        held = enter(held, f"r{number}", bound="agent")

    assert held["claims"] == [holdings.SETTLED, "r8"]
    for number in range(9):
        held = holdings.undone(held, f"r{number}", LATER)
    assert held["claims"] == [holdings.SETTLED]
    assert leave(held, "r9", "agent") is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "undo"]), st.integers(0, 5), st.sampled_from(["process", "agent"])),
    max_size=30,
)


@given(STEPS)
def test_hold_lasts_as_long_as_an_entry_or_a_claim_is_in_it(steps: list[tuple[str, int, str]]) -> None:
    """Against a model of two sets: entries, and who claimed it."""
    held: Any = None
    inside: set[str] = set()
    claimed: set[str] = set()
    for step, number, bound in steps:
        name = f"{bound}-{number}"
        if step == "enter":
            fresh = held is None
            held = hold(name, bound=bound) if fresh else enter(held, name, bound=bound)
            if bound == "process":
                inside.add(name)
            else:
                claimed.add(name)
        elif held is not None and (step == "undo" or holdings.is_in(held, name, bound)):
            held = holdings.undone(held, name, LATER) if step == "undo" else leave(held, name, bound)
            inside.discard(name)
            claimed = set() if bound == "agent" and step == "leave" else claimed - {name}

        assert (held is None) == (not inside and not claimed)
        if held is not None:
            assert holdings.check(held) == ""
            assert set(holdings.entries(held)) == inside
            assert held["bound"] == ("agent" if claimed else "process")
            assert held["depth"] == len(inside) + bool(claimed)
            assert held["lease"] == ("a" if claimed else "a#10")


# -- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"agent": ""},
        {"agent": 5},
        {"agent": "a\0"},
        {"agent": "a\ud800"},
        {"agent": "x" * 4201},
        {"agent": "é" * 4000},
        {"request": None},
        {"lease": ""},
        {"mode": "both"},
        {"mode": ["shared"]},
        {"bound": None},
        {"token": True},
        {"token": 1.5},
        {"depth": 0},
        {"depth": -1},
        {"depth": 2},
        {"depth": "1"},
        {"reason": None},
        {"ttl_s": 0},
        {"ttl_s": True},
        {"acquired": "now"},
        {"process": None},
        {"process": []},
        {"entries": "r1"},
        {"entries": ["r1", 5], "depth": 2},
        {"entries": [""], "depth": 1},
        {"entries": ["r1", "r2"], "depth": 1},
        {"entries": [], "depth": 0},
        {"first_token": "5"},
        {"claim": 5},
        {"claims": "r1"},
        {"claims": []},
        {"claims": ["r1", ""]},
        {"entry_lease": ""},
        {"link": []},
    ],
)
def test_holding_of_another_shape_is_malformed(changed: dict[str, Any]) -> None:
    assert holdings.check({**hold(), **changed})


@pytest.mark.parametrize("value", [None, 5, "hold", [], {}])
def test_what_is_no_holding_is_malformed(value: Any) -> None:
    assert holdings.check(value)


def test_holding_with_fields_it_does_not_know_is_read_and_keeps_them() -> None:
    held = {**hold("r1"), "note": "kept"}

    assert holdings.check(held) == ""
    assert leave(enter(held, "r2"), "r2")["note"] == "kept"


def test_words_may_be_any_text_that_a_key_can_hold() -> None:
    assert holdings.is_word("glob:é/**")
    assert holdings.are_words("a", "é", "c")
    assert not holdings.are_words("a", "", "c")
    assert not holdings.are_words("x" * 4200, "y", "")
    assert holdings.are_words("x" * 4200, "y" * 4200, "z")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HERE, dict(HERE), True),
        (HERE, {**HERE, "note": 1}, True),
        (HERE, THERE, False),
        (HERE, {**HERE, "start": 1}, False),
        ({}, {}, False),
        (HERE, {}, False),
    ],
)
def test_two_identities_are_one_process_or_not(one: Any, other: Any, same: bool) -> None:
    assert holdings.is_same_process(one, other) is same
    assert holdings.is_same_process(other, one) is same


# -- the hold of a link, and those of the paths that need it


def need(link: Any, *needing: Any) -> Any:
    after = holdings.needed(link, list(needing), LATER)
    assert after is None or holdings.check(after) == ""
    return after


def test_a_link_keeps_the_entries_that_a_path_has() -> None:
    link = enter(enter(hold("r1"), "r2"), "r3")

    kept = need(link, hold("r1"), hold("r3"))

    assert (kept["bound"], holdings.entries(kept)) == ("process", ["r1", "r3"])
    assert need(link) is None
    assert need(link, hold("r9")) is None


def test_a_link_keeps_the_claim_that_a_path_has_and_not_the_entries_that_none_has() -> None:
    link = enter(hold("r1"), "c1", bound="agent")

    kept = need(link, hold("c1", bound="agent"))

    assert (kept["bound"], holdings.claims(kept), holdings.entries(kept)) == ("agent", ["c1"], [])


def test_a_link_loses_the_claim_that_no_path_has_and_lives_by_its_process_again() -> None:
    link = enter(hold("r1"), "c1", bound="agent")

    kept = need(link, hold("r1"))

    assert (kept["bound"], kept["lease"], holdings.entries(kept)) == ("process", "a#10", ["r1"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({}, {"process": THERE}, False),
        ({"bound": "agent"}, {"bound": "agent", "process": THERE}, True),
        ({"bound": "agent"}, {"process": THERE}, False),
        ({}, {"agent": "b"}, False),
    ],
)
def test_holds_of_two_names_are_of_one_holder(one: Any, other: Any, same: bool) -> None:
    assert holdings.is_same_holder(hold("r1", **one), hold("r2", **other)) is same
