from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import Now
from latchboard.errors import UsageError
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from tests.rules.test_holding import HERE, THERE, hold, request

START = Now(1_795_225_200.0, 1000.0, "b")


def waiter(**changed: Any) -> Any:
    return {
        "request": "r1",
        "agent": "a",
        "bound": "process",
        "process": HERE,
        "wants": [{"name": "src/a.py", "mode": "exclusive"}],
        "seq": 7,
        "since": leases.moment(START),
        "wait_s_max": None,
        "ttl_s": 60.0,
        "lease": "a#10",
        "attended": True,
        "reason": "",
        "blocked_by": [],
        "handoff": None,
        **changed,
    }


def place(**changed: Any) -> Any:
    return {"request": "r1", "agent": "a", "mode": "exclusive", "seq": 7, **changed}


def says(verdict: str) -> Any:
    return lambda identity: verdict


def nothing(lease_id: str) -> None:
    return None


def at(mono_s: float) -> Now:
    return Now(START.wall_s + mono_s - START.mono_s, mono_s, "b")


# -- who is in the way ------------------------------------------------------------------------------------------------


def test_only_two_shared_modes_go_together() -> None:
    modes = ("exclusive", "shared")

    assert [(a, b) for a in modes for b in modes if not rules.conflicts(a, b)] == [("shared", "shared")]


@pytest.mark.parametrize(
    ("bound", "verdict", "why"),
    [
        ("process", "live", ""),
        ("process", "unknowable", ""),
        ("process", "dead", "dead"),
        ("process", "recycled", "recycled"),
        ("agent", "dead", ""),
        ("agent", "recycled", ""),
    ],
)
def test_hold_of_a_process_ends_with_it_and_the_hold_of_an_agent_does_not(bound: str, verdict: str, why: str) -> None:
    assert rules.why_over(hold(bound=bound), at(1001.0), says(verdict), nothing) == why


@pytest.mark.parametrize("verdict", ["live", "unknowable", "dead"])
def test_expired_is_over_whatever_the_process_does(verdict: str) -> None:
    assert rules.why_over(hold(ttl_s=60.0), at(1060.0), says(verdict), nothing) == "expired"


def test_lease_is_asked_only_when_the_holds_own_time_is_up() -> None:
    asked: list[str] = []

    def lease_of(lease_id: str) -> Any:
        asked.append(lease_id)
        return leases.renewed(None, at(1050.0), 60.0, agent="a", bound="process", process=HERE)

    assert rules.why_over(hold(ttl_s=60.0), at(1059.0), says("live"), lease_of) == ""
    assert asked == []
    assert rules.why_over(hold(ttl_s=60.0), at(1070.0), says("live"), lease_of) == ""
    assert asked == ["a#10"]
    assert rules.why_over(hold(ttl_s=60.0), at(1110.0), says("live"), lease_of) == "expired"


@pytest.mark.parametrize(
    ("bound", "agent", "process", "verdict", "mine"),
    [
        ("process", "a", HERE, "live", True),
        ("process", "b", HERE, "live", False),
        ("process", "a", THERE, "live", False),  # the same id from another process is refused
        ("process", "a", THERE, "dead", False),  # over, not mine: it is taken over, with a new token
        ("agent", "a", HERE, "live", True),
        ("agent", "a", THERE, "live", False),
        ("agent", "a", THERE, "unknowable", False),
        ("agent", "a", THERE, "dead", True),  # the agent goes on in another process
        ("agent", "a", THERE, "recycled", True),
        ("agent", "b", THERE, "dead", False),
    ],
)
def test_whose_hold_it_is(bound: str, agent: str, process: Any, verdict: str, mine: bool) -> None:
    assert rules.is_mine(hold(bound=bound), agent, "process", process, says(verdict)) is mine


def test_waiter_stands_for_its_request() -> None:
    asked = rules.of_waiter(waiter(reason="why", bound="agent", lease="a"))

    assert (asked.request, asked.agent, asked.bound, asked.lease, asked.ttl_s, asked.reason) == (
        "r1",
        "a",
        "agent",
        "a",
        60.0,
        "why",
    )
    assert asked.wants == [{"name": "src/a.py", "mode": "exclusive"}]


# -- states -----------------------------------------------------------------------------------------------------------


def test_every_state_is_reached_and_every_event_leads_somewhere() -> None:
    reached = {"asking"} | {state for events in rules.NEXT.values() for state in events.values()}

    assert reached == set(rules.NEXT)
    assert [state for state, events in rules.NEXT.items() if not events] == [
        "refused",
        "declined",
        "withdrawn",
        "released",
        "taken over",
        "broken",
    ]


# -- presence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boot", "verdict", "is_present", "expected"),
    [
        ("here", "live", True, "live"),
        ("here", "live", False, "absent"),
        ("here", "dead", True, "dead"),
        ("here", "recycled", False, "recycled"),
        ("here", "unknowable", True, "live"),
        ("elsewhere", "dead", True, "live"),
        ("elsewhere", "dead", False, "absent"),
    ],
)
def test_a_process_that_says_a_presence_is_judged_by_it_and_here_by_itself_first(
    boot: str, verdict: str, is_present: bool, expected: str
) -> None:
    found = rules.presence_verdict({"boot": boot}, {"boot": "here"}, lambda _: verdict, is_present=is_present)

    assert found == expected


# -- shapes -----------------------------------------------------------------------------------------------------------


def record(**changed: Any) -> dict[str, Any]:
    return {"name": "src/a.py", "holders": [hold()], "waiters": [place()], **changed}


def test_record_of_the_right_shape_has_no_fault() -> None:
    assert rules.check_record(record()) == ""
    assert rules.check_record(dict(rules.new_record("src/a.py"))) == ""
    assert rules.check_record(record(note="kept", waiters=[place(note="kept")])) == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"name": None},
        {"name": 5},
        {"holders": None},
        {"holders": {}},
        {"holders": [None]},
        {"holders": [{**hold(), "mode": "?"}]},
        {"holders": [hold("r1"), hold("r2", mode="shared")]},
        {"waiters": None},
        {"waiters": [5]},
        {"waiters": [place(request=None)]},
        {"waiters": [place(request="\0")]},
        {"waiters": [place(agent="")]},
        {"waiters": [place(mode="?")]},
        {"waiters": [place(seq=True)]},
        {"waiters": [place(seq="7")]},
    ],
)
def test_record_of_another_shape_is_malformed(changed: dict[str, Any]) -> None:
    assert rules.check_record(record(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"wait_s_max": 0},
        {"wait_s_max": 5.5},
        {"handoff": {"state": "asked"}},
        {"blocked_by": [{"agent": "b"}]},
        {"job": "a"},
        {"job": "a", "is_next": True},
        {"note": "kept"},
        {"wants": [{"name": "a", "mode": "shared", "link": "hardlink:1-2"}]},
    ],
)
def test_waiter_of_the_right_shape_has_no_fault(changed: dict[str, Any]) -> None:
    assert rules.check_waiter(waiter(**changed)) == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"request": ""},
        {"agent": None},
        {"lease": 5},
        {"bound": "?"},
        {"seq": 1.0},
        {"attended": None},
        {"reason": None},
        {"wants": None},
        {"wants": []},
        {"wants": [5]},
        {"wants": [{"name": "a"}]},
        {"wants": [{"name": "\ud800", "mode": "shared"}]},
        {"wants": [{"name": "a", "mode": "shared", "link": 5}]},
        {"ttl_s": None},
        {"since": None},
        {"wait_s_max": "5"},
        {"wait_s_max": -1},
        {"wait_s_max": True},
        {"wait_s_max": 10**400},
        {"blocked_by": None},
        {"blocked_by": ["b"]},
        {"handoff": "asked"},
        {"handoff": {}},
        {"handoff": {"state": 5}},
        {"process": None},
        {"job": 5},
        {"job": ""},
        {"is_next": 1},
    ],
)
def test_waiter_of_another_shape_is_malformed(changed: dict[str, Any]) -> None:
    assert rules.check_waiter(waiter(**changed))


def test_request_carries_what_its_hold_will_say() -> None:
    held = holdings.new(request("r1"), "shared", 5, START)

    assert (held["agent"], held["lease"], held["ttl_s"], held["request"]) == ("a", "a#10", 60.0, "r1")


@pytest.mark.parametrize(
    ("mode", "name", "asked", "wanted", "agent", "token", "is_shown"),
    [
        ("exclusive", "src/", "src/a.py", "exclusive", "a", 5, True),
        ("exclusive", "src/", "src/a.py", "shared", "a", 5, True),
        ("shared", "x", "x", "shared", "a", 5, True),
        ("shared", "x", "x", "exclusive", "a", 5, False),
        ("exclusive", "x", "x", "exclusive", "b", 5, False),
        ("exclusive", "x", "x", "exclusive", None, 5, False),
        ("exclusive", "x", "x", "exclusive", "a", 6, False),
        ("exclusive", "x", "x", "exclusive", "a", None, False),
        ("exclusive", "src/a.py", "src/", "exclusive", "a", 5, False),
    ],
)
def test_token_speaks_for_its_own_hold_and_for_what_that_covers(
    mode: Any, name: str, asked: str, wanted: Any, agent: Any, token: Any, is_shown: bool
) -> None:
    held = hold("r1", mode=mode, token=5)

    assert rules.is_shown(name, held, {"name": asked, "mode": wanted}, agent, token) is is_shown


@pytest.mark.parametrize("wait_s_max", [-1, True, "1", 1e9, float("nan")])
def test_what_is_no_waiting_time_is_refused(wait_s_max: object) -> None:
    with pytest.raises(UsageError, match="waiting time"):
        rules.check_wait(wait_s_max)


@pytest.mark.parametrize("wait_s_max", [None, 0, 0.5, 3600])
def test_waiting_time_is_a_number_of_seconds_or_has_no_end(wait_s_max: object) -> None:
    rules.check_wait(wait_s_max)
