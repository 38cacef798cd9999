from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now, iso
from latchboard.rules import lease as leases
from latchboard.rules.known import Known, by_commit, check_status_entry
from latchboard.rules.watch import events
from latchboard.store.port import Change

NOW = Now(1_795_225_200.0, 1000.0, "boot-1")
PROCESS = {"host": "h", "boot": "boot-1", "pid_ns": 1, "pid": 42, "start": 4200}


def at(s: float) -> str:
    return iso(NOW.wall_s + s)


def moment(s: float = 0.0) -> Any:
    return leases.moment(Now(NOW.wall_s + s, NOW.mono_s + s, NOW.boot))


def holding(agent: str = "a", token: int = 1, **changed: Any) -> dict[str, Any]:
    plain = {
        "agent": agent,
        "mode": "exclusive",
        "bound": "process",
        "token": token,
        "request": f"{agent}.{token}",
        "acquired": moment(),
        "ttl_s": 60.0,
        "lease": f"{agent}#1",
        "depth": 1,
        "reason": "",
        "process": PROCESS,
    }
    return {**plain, **changed}


def lock(name: str, *holders: dict[str, Any], waiters: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"name": name, "holders": list(holders), "waiters": list(waiters)}


def waiter(request: str = "b.9", agent: str = "b", **changed: Any) -> dict[str, Any]:
    plain = {
        "request": request,
        "agent": agent,
        "bound": "process",
        "attended": True,
        "process": PROCESS,
        "wants": [{"name": "x", "mode": "exclusive"}],
        "seq": 9,
        "since": moment(),
        "wait_s_max": 5.0,
        "ttl_s": 60.0,
        "lease": f"{agent}#1",
        "reason": "refactoring",
        "blocked_by": [{"agent": "a", "token": 1}],
        "handoff": None,
    }
    return {**plain, **changed}


def entry(agent: str = "a", status: str = "thinking", *, s: float = 0.0, files: tuple[str, ...] = ()) -> dict[str, Any]:
    times = {"heartbeat": moment(s), "started": moment()}
    return {"agent": agent, "status": status, "files": list(files), **times, "process": PROCESS}


def commit(revision: int, puts: dict[str, Any], *, who: str = "a", s: float = 0.0) -> list[Change]:
    return [Change(revision, at(s), who, key, value) for key, value in puts.items()]


def told(*commits: list[Change]) -> list[dict[str, Any]]:
    """What the last of these commits means."""
    known = Known()
    found: list[dict[str, Any]] = []
    for one in commits:
        found = events(known, one)
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in found]


# -- locks


def test_a_new_holder_has_acquired() -> None:
    found = told(commit(5, {"locks/x": lock("x", holding(token=5, reason="typo"))}, s=1))

    assert found == [
        {
            "event": "lock.acquired",
            "revision": 5,
            "at": at(1),
            "who": "a",
            "name": "x",
            "agent": "a",
            "mode": "exclusive",
            "bound": "process",
            "token": 5,
            "reason": "typo",
            "pid": 42,
            "waited_s": None,
            "granted_by": None,
        }
    ]


def test_a_release_says_how_long_it_was_held() -> None:
    found = told(commit(1, {"locks/x": lock("x", holding())}), commit(2, {"locks/x": None}, s=12.5))

    assert names(found) == ["lock.released"]
    assert (found[0]["agent"], found[0]["token"], found[0]["held_s"]) == ("a", 1, 12.5)


def test_a_release_across_midnight_is_no_negative_time() -> None:
    early = {**holding(), "acquired": {**moment(), "at": "2026-11-20T23:59:59.000000Z"}}
    change = Change(2, "2026-11-21T00:00:01.500000Z", "a", "locks/x", None)

    assert told(commit(1, {"locks/x": lock("x", early)}), [change])[0]["held_s"] == 2.5


def test_a_release_that_grants_says_both_and_how_long_the_waiter_waited() -> None:
    before = commit(2, {"locks/x": lock("x", holding()), "waiters/b.9": waiter()})
    granted = {"locks/x": lock("x", holding("b", 3, request="b.9")), "waiters/b.9": None}

    found = told(before, commit(3, granted, s=4))

    assert names(found) == ["lock.released", "lock.acquired"]
    assert (found[1]["agent"], found[1]["waited_s"], found[1]["granted_by"]) == ("b", 4.0, "a")


def test_the_same_agent_may_wait_in_another_process_and_be_granted_by_the_first() -> None:
    before = commit(2, {"locks/x": lock("x", holding()), "waiters/a.9": waiter("a.9", "a")})
    granted = {"locks/x": lock("x", holding("a", 3, request="a.9")), "waiters/a.9": None}

    assert names(told(before, commit(3, granted))) == ["lock.released", "lock.acquired"]


def test_a_takeover_is_one_event_with_both_sides() -> None:
    trace = {"by": "b", "taken": [{"name": "x", "from": "a", "token": 1, "why": "expired"}]}
    taken = {"locks/x": lock("x", holding("b", 3)), "log/takeover": trace}

    found = told(commit(1, {"locks/x": lock("x", holding())}), commit(3, taken, who="b", s=70))

    assert names(found) == ["lock.taken_over", "lock.acquired"]
    lost = found[0]
    assert (lost["agent"], lost["by"], lost["why"], lost["token"], lost["held_s"]) == ("a", "b", "expired", 1, 70.0)


def test_a_break_names_the_operator_and_the_reason() -> None:
    trace = {"by": "op", "reason": "wedged", "broken": [{"name": "x", "agent": "a", "token": 1}]}

    found = told(
        commit(1, {"locks/x": lock("x", holding())}), commit(2, {"locks/x": None, "log/break": trace}, who="op")
    )

    assert names(found) == ["lock.broken"]
    assert (found[0]["agent"], found[0]["by"], found[0]["why"]) == ("a", "op", "wedged")


def test_a_trace_of_a_hold_that_was_never_seen_is_told_with_what_it_says() -> None:
    trace = {"by": "b", "taken": [{"name": "x", "from": "a", "token": 1, "why": "dead"}]}

    found = told(commit(3, {"log/takeover": trace}, who="b"))

    assert names(found) == ["lock.taken_over"]
    assert (found[0]["agent"], found[0]["by"], found[0]["mode"], found[0]["held_s"]) == ("a", "b", None, None)


@pytest.mark.parametrize(
    ("trace", "list_name", "event"), [("takeover", "taken", "lock.taken_over"), ("cleanup", "ended", "lock.ended")]
)
def test_a_hold_of_an_absent_process_is_lost_as_well_as_ended(trace: str, list_name: str, event: str) -> None:
    ended = {"name": "x", "from": "a", "token": 1, "why": "absent"}
    change = {"locks/x": None, f"log/{trace}": {"by": "b", list_name: [ended]}}

    found = told(commit(1, {"locks/x": lock("x", holding())}), commit(3, change, who="b"))
    unseen = told(commit(3, {f"log/{trace}": {"by": "b", list_name: [ended]}}, who="b"))

    assert names(found) == [event, "hold.lost"] == names(unseen)
    assert {**found[1], "event": event} == found[0]
    assert (found[1]["agent"], found[1]["by"], found[1]["why"]) == ("a", "b", "absent")


def test_an_operators_reason_is_no_loss() -> None:
    trace = {"by": "op", "reason": "absent", "broken": [{"name": "x", "agent": "a", "token": 1}]}

    assert names(told(commit(2, {"locks/x": None, "log/break": trace}, who="op"))) == ["lock.broken"]


def test_who_takes_a_name_again_after_its_own_hold_was_over_did_not_release_it() -> None:
    found = told(commit(1, {"locks/x": lock("x", holding())}), commit(9, {"locks/x": lock("x", holding("a", 9))}, s=90))

    assert names(found) == ["lock.ended", "lock.acquired"]


def test_a_hold_that_somebody_else_removed_was_not_released() -> None:
    shared = lock("x", holding("a", 1, mode="shared"), holding("b", 2, mode="shared"))

    found = told(commit(2, {"locks/x": shared}), commit(3, {"locks/x": None}, who="b"))

    assert {(event["event"], event["agent"]) for event in found} == {("lock.ended", "a"), ("lock.released", "b")}


def test_shared_to_exclusive_is_an_upgrade_and_going_in_again_is_no_news() -> None:
    shared = holding(mode="shared")
    deeper = {**shared, "depth": 2}
    upgraded = {**shared, "mode": "exclusive", "token": 7, "first_token": 1}

    assert told(commit(1, {"locks/x": lock("x", shared)}), commit(2, {"locks/x": lock("x", deeper)})) == []
    assert names(told(commit(1, {"locks/x": lock("x", shared)}), commit(7, {"locks/x": lock("x", upgraded)}))) == [
        "lock.upgraded"
    ]


def test_a_waiter_that_leaves_without_a_grant_gave_up() -> None:
    found = told(commit(9, {"waiters/b.9": waiter()}, who="b"), commit(10, {"waiters/b.9": None}, who="b", s=5))

    assert names(found) == ["lock.wait_ended"]
    assert (found[0]["agent"], found[0]["names"], found[0]["waited_s"]) == ("b", ["x"], 5.0)


def test_a_waiter_names_who_is_in_its_way_and_a_handoff_is_asked_of_them() -> None:
    asked = waiter(handoff={"state": "asked"})
    declined = waiter(handoff={"state": "declined", "by": "a", "reason": "busy"})

    first = told(commit(9, {"waiters/b.9": asked}, who="b"))
    second = told(commit(9, {"waiters/b.9": asked}), commit(10, {"waiters/b.9": declined}))

    assert names(first) == ["lock.waiting", "handoff.asked"]
    assert (first[0]["blocked_by"], first[1]["of"]) == ([{"agent": "a", "token": 1}], ["a"])
    assert names(second) == ["handoff.declined"]
    assert (second[0]["by"], second[0]["why"]) == ("a", "busy")


def test_a_refusal_has_both_sides() -> None:
    trace = {"names": ["x"], "asked_by": "b", "held_by": [{"agent": "a", "token": 1}], "reason": "now"}

    found = told(commit(4, {"log/conflict": trace}, who="b"))

    assert names(found) == ["lock.refused"]
    assert (found[0]["agent"], found[0]["names"], found[0]["held_by"]) == ("b", ["x"], [{"agent": "a", "token": 1}])


def test_a_wait_in_vain_is_one_event_that_says_who_had_it() -> None:
    trace = {"kind": "wait-ended", "names": ["x"], "asked_by": "b", "held_by": [{"agent": "a"}], "reason": "now"}
    waits = commit(9, {"waiters/b.9": waiter()}, who="b")
    leaves = commit(10, {"waiters/b.9": None, "log/conflict": trace}, who="b", s=5)

    found = told(waits, leaves)

    assert names(found) == ["lock.wait_ended"]
    assert (found[0]["agent"], found[0]["held_by"], found[0]["waited_s"]) == ("b", [{"agent": "a"}], 5.0)
    assert told(leaves) == [{**found[0], "waited_s": None}]


def test_a_deadlock_is_told_with_both_sides() -> None:
    trace = {"kind": "deadlock", "names": ["x"], "asked_by": "b", "held_by": [{"agent": "a"}], "reason": ""}

    found = told(commit(10, {"log/conflict": trace}, who="b"))

    assert (names(found), found[0]["held_by"]) == (["lock.deadlock"], [{"agent": "a"}])


def test_a_guarded_write_is_told() -> None:
    found = told(commit(4, {"log/write": {"name": "x", "agent": "a", "token": 1}}))

    assert (names(found), found[0]["name"], found[0]["token"]) == (["file.written"], "x", 1)


# -- agents and messages


def test_a_status_is_news_and_a_heartbeat_is_not() -> None:
    first = commit(1, {"agents/a": entry(files=("x",))})

    assert told(first) == [
        {
            "event": "agent.status",
            "revision": 1,
            "at": at(0),
            "who": "a",
            "agent": "a",
            "status": "thinking",
            "files": ["x"],
        }
    ]
    assert told(first, commit(2, {"agents/a": entry(files=("x",), s=9)}, s=9)) == []
    assert names(told(first, commit(3, {"agents/a": entry(status="testing")}))) == ["agent.status"]
    assert names(told(first, commit(4, {"agents/a": None}))) == ["agent.left"]


def test_a_message_is_told_once_with_its_beginning_alone() -> None:
    sent = {"id": "m", "from": "a", "to": "b/c", "body": "x" * 300, "subject": "s", "urgency": "high", "thread": "m"}
    put = commit(7, {"messages/b/c/m": {**sent, "revision": 7}})
    delivered = commit(8, {"messages/b/c/m": {**sent, "revision": 7, "delivered_at": at(1)}})
    acked = commit(
        9, {"messages/b/c/m": None, "archive/b/c/m": {**sent, "revision": 7, "archived_at": at(2), "acked_at": at(2)}}
    )

    assert [(e["event"], e["from"], e["to"], e["excerpt"]) for e in told(put)] == [
        ("message.sent", "a", "b/c", "x" * 200)
    ]
    assert told(put, delivered) == []
    assert [(e["event"], e["to"], e["id"]) for e in told(put, acked)] == [("message.acked", "b/c", "m")]


def test_a_broadcast_is_to_nobody_in_particular() -> None:
    sent = {"id": "m", "from": "a", "to": None, "body": "hello", "subject": "", "urgency": "low", "thread": "m"}

    assert told(commit(7, {"broadcasts/m": {**sent, "revision": 7}}))[0]["to"] is None


# -- order, damage


def test_the_order_of_changes_in_a_commit_does_not_matter() -> None:
    before = commit(2, {"locks/x": lock("x", holding()), "waiters/b.9": waiter()})
    granted = commit(
        3, {"waiters/b.9": None, "locks/x": lock("x", holding("b", 3, request="b.9")), "agents/b": entry("b")}
    )

    assert told(before, granted) == told(before, granted[::-1])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("locks/x", {"name": "x"}),
        ("locks/x", lock("y", holding())),
        ("waiters/w", {"request": "w"}),
        ("waiters/w", waiter("other")),
        ("leases/l", {"renewed": None}),
        ("agents/a", entry("b")),
        ("agents/a", {"agent": "a", "status": 3}),
    ],
)
def test_what_cannot_be_read_is_damaged_and_tells_nothing(key: str, value: dict[str, Any]) -> None:
    known = Known()

    assert events(known, commit(1, {key: value})) == []
    assert list(known.damaged) == [key]

    events(known, commit(2, {key: None}))
    assert known.damaged == {}


def test_a_lock_that_becomes_unreadable_was_not_released() -> None:
    assert told(commit(1, {"locks/x": lock("x", holding())}), commit(2, {"locks/x": {"name": "x"}})) == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "name holders waiters request taken broken ended from by revision body state names held_by asked_by to agent files "
    "handoff blocked_by token archived_at"
)
KEYS = (
    "locks/x waiters/w leases/l agents/a messages/b/m archive/b/m broadcasts/m log/takeover log/break log/cleanup "
    "log/conflict log/write log/other wide"
)
fields = st.dictionaries(st.sampled_from(FIELDS.split()), anything, max_size=6)


@given(st.lists(st.tuples(st.sampled_from(KEYS.split()), st.none() | fields), max_size=8))
def test_nothing_in_a_value_breaks_the_stream(puts: list[tuple[str, dict[str, Any] | None]]) -> None:
    known = Known()

    for revision, (key, value) in enumerate(puts, 1):
        for event in events(known, [Change(revision, at(0), "a", key, value)]):
            assert event["revision"] == revision


def test_commits_are_cut_where_the_revision_changes() -> None:
    changes = [*commit(1, {"a": {}, "b": {}}), *commit(2, {"c": {}}), *commit(3, {"d": {}, "e": {}})]

    assert [[c.key for c in one] for one in by_commit(changes)] == [["a", "b"], ["c"], ["d", "e"]]
    assert list(by_commit([])) == []


@pytest.mark.parametrize("field", ["agent", "status", "files", "heartbeat", "started", "process"])
def test_a_status_entry_without_one_of_its_fields_cannot_be_read(field: str) -> None:
    assert check_status_entry(entry()) == ""
    assert check_status_entry({k: v for k, v in entry().items() if k != field}) != ""


# -- the first that is seen of a record, and what did not change


def test_of_a_lock_first_seen_made_exclusive_in_this_commit_that_is_told() -> None:
    upgraded = holding(token=7, first_token=3)

    assert names(told(commit(7, {"locks/x": lock("x", upgraded)}))) == ["lock.upgraded"]


def test_of_an_agent_first_seen_that_spoke_before_nothing_is_told() -> None:
    assert told(commit(7, {"agents/a": entry(s=9)}, s=9)) == []


def test_a_hold_that_stays_as_it_was_is_no_news_when_another_joins() -> None:
    mine, other = holding("a", 1, mode="shared"), holding("b", 2, mode="shared")
    found = told(commit(1, {"locks/x": lock("x", mine)}), commit(2, {"locks/x": lock("x", mine, other)}))

    assert [(event["event"], event["agent"]) for event in found] == [("lock.acquired", "b")]


def test_a_handoff_that_is_taken_back_is_no_news() -> None:
    asked = waiter(handoff={"state": "asked", "reason": "", "asked": ["a"]})

    assert told(commit(9, {"waiters/b.9": asked}), commit(10, {"waiters/b.9": waiter()})) == []


def test_a_time_that_cannot_be_read_leaves_the_span_unknown() -> None:
    held = holding(acquired={**moment(), "at": "yesterday"})
    found = told(commit(1, {"locks/x": lock("x", held)}), commit(2, {"locks/x": None}))

    assert [(event["event"], event["held_s"]) for event in found] == [("lock.released", None)]


def test_what_a_trace_has_besides_holds_is_passed_over() -> None:
    ended = ["x", {"name": 3}, {"name": "x", "agent": "a", "token": 1}]

    assert [e["name"] for e in told(commit(2, {"log/cleanup": {"ended": ended}}))] == ["x"]


def test_what_is_learned_when_everything_is_known_needs_no_mark() -> None:
    known = Known()
    known.seen = None

    assert known.learn("agents/a", entry()) == (None, entry())
    assert known.is_seen("agents/b")


def test_a_message_that_is_swept_from_the_archive_is_no_news() -> None:
    assert told(commit(9, {"archive/b/c/m": None})) == []
