from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.clock import Now
from latchboard.rules import board
from latchboard.rules import lease as leases
from latchboard.rules.known import by_commit
from latchboard.store.port import Change
from tests.rules.test_watch import NOW, PROCESS, at, commit, entry, holding, lock, waiter

QUIET_S = 300.0


def live(_process: object) -> str:
    return "live"


def dead(_process: object) -> str:
    return "dead"


def folded(*commits: Iterable[Change], history_count: int = 50) -> board.State:
    state = board.State(history_count)
    for one in commits:
        board.apply(state, list(one))
    return state


def shown(state: board.State, s: float = 0.0, judge: Any = live) -> dict[str, Any]:
    now = Now(NOW.wall_s + s, NOW.mono_s + s, NOW.boot)
    return board.render(state, now, judge=judge, quiet_s=QUIET_S)


def test_an_empty_board_has_every_list() -> None:
    assert shown(board.State(5)) == {
        "version": 1,
        "last_updated": "",
        "revision": 0,
        "active_locks": [],
        "ended_locks": [],
        "agents": {},
        "agent_assignments": {},
        "waiters": [],
        "file_modification_history": [],
        "conflicts": [],
        "messages": [],
        "damaged": [],
    }


def test_who_holds_what_until_when() -> None:
    state = folded(commit(1, {"locks/x": lock("x", holding(reason="typo")), "agents/a": entry(files=("x", "y"))}))

    found = shown(state)

    assert found["active_locks"] == [
        {
            "name": "x",
            "agent": "a",
            "mode": "exclusive",
            "bound": "process",
            "token": 1,
            "since": at(0),
            "expires_at": at(60),
            "reason": "typo",
            "pid": 42,
            "waiters_count": 0,
        }
    ]
    assert found["agent_assignments"] == {"a": {"status": "thinking", "files": ["x", "y"], "last_update": at(0)}}
    assert found["agents"]["a"]["holds"] == ["x"]


def test_an_expired_hold_is_not_active_and_a_renewed_one_is() -> None:
    state = folded(commit(1, {"locks/x": lock("x", holding())}))
    lease: Any = None
    for s in (40, 50):
        now = Now(NOW.wall_s + s, NOW.mono_s + s, NOW.boot)
        lease = leases.renewed(lease, now, 60.0, agent="a", bound="process", process=PROCESS)

    over = shown(state, 61)
    board.apply(state, commit(2, {"leases/a#1": lease}, s=50))
    renewed = shown(state, 61)

    assert (over["active_locks"], over["ended_locks"][0]["why"]) == ([], "expired")
    assert (renewed["ended_locks"], renewed["active_locks"][0]["expires_at"]) == ([], at(110))


def test_the_hold_of_a_dead_process_is_not_active_and_that_of_its_agent_is() -> None:
    process_bound = lock("x", holding())
    agent_bound = lock("y", holding(bound="agent", lease="a", request="a.2"))
    found = shown(folded(commit(1, {"locks/x": process_bound, "locks/y": agent_bound})), judge=dead)

    assert [(e["name"], e["why"]) for e in found["ended_locks"]] == [("x", "dead")]
    assert [e["name"] for e in found["active_locks"]] == ["y"]


def test_an_agent_without_a_heartbeat_is_quiet_and_one_without_a_status_is_there_if_it_holds() -> None:
    state = folded(
        commit(1, {"agents/a": entry(), "locks/x": lock("x", holding("b")), "waiters/c.1": waiter("c.1", "c")})
    )

    assert {a: e["quiet"] for a, e in shown(state, QUIET_S)["agents"].items()} == {"a": False, "b": False, "c": False}
    late = shown(state, QUIET_S + 1)
    assert {a: e["quiet"] for a, e in late["agents"].items()} == {"a": True, "b": False, "c": False}
    assert (late["agents"]["b"]["holds"], late["agents"]["c"]["waits_for"]) == (["x"], ["x"])
    assert list(late["agent_assignments"]) == ["a"]


def test_waiters_stand_in_their_order() -> None:
    later, earlier = waiter("b.1", "b", seq=7), waiter("c.1", "c", seq=3)
    found = shown(folded(commit(7, {"waiters/b.1": later}), commit(8, {"waiters/c.1": earlier})))

    assert [(w["agent"], w["names"], w["blocked_by"]) for w in found["waiters"]] == [
        ("c", ["x"], ["a"]),
        ("b", ["x"], ["a"]),
    ]


def test_history_has_what_may_have_modified_files_and_conflicts_have_both_sides() -> None:
    refused = {"names": ["x"], "asked_by": "b", "held_by": [{"agent": "a", "token": 1}], "reason": "now"}
    taken = {"by": "b", "taken": [{"name": "x", "from": "a", "token": 1, "why": "expired"}]}
    state = folded(
        commit(1, {"locks/x": lock("x", holding())}),
        commit(2, {"log/conflict": refused}, who="b"),
        commit(3, {"log/write": {"name": "x", "agent": "a", "token": 1}}),
        commit(4, {"waiters/b.9": waiter(seq=4)}, who="b"),
        commit(
            5,
            {"locks/x": lock("x", holding("b", 5, request="b.9")), "waiters/b.9": None, "log/takeover": taken},
            who="b",
        ),
        commit(6, {"locks/x": None}, who="b"),
    )

    found = shown(state)

    assert [(e["event"], e["name"], e["agent"]) for e in found["file_modification_history"]] == [
        ("file.written", "x", "a"),
        ("lock.taken_over", "x", "a"),
        ("lock.released", "x", "b"),
    ]
    assert [(e["kind"], e["names"], e["asked_by"], e["held_by"][0]["agent"]) for e in found["conflicts"]] == [
        ("refused", ["x"], "b", "a"),
        ("waiting", ["x"], "b", "a"),
        ("taken_over", ["x"], "b", "a"),
    ]


def test_a_wait_that_ended_in_vain_is_a_conflict_and_one_that_was_given_up_is_none() -> None:
    trace = {"kind": "wait-ended", "names": ["x"], "asked_by": "b", "held_by": [{"agent": "a"}], "reason": ""}
    waits = commit(9, {"waiters/b.9": waiter()}, who="b")

    in_vain = shown(folded(waits, commit(10, {"waiters/b.9": None, "log/conflict": trace}, who="b")))
    given_up = shown(folded(waits, commit(10, {"waiters/b.9": None}, who="b")))

    assert [c["kind"] for c in in_vain["conflicts"]] == ["waiting", "wait_ended"]
    assert [c["kind"] for c in given_up["conflicts"]] == ["waiting"]


def test_lists_are_capped_and_keep_the_newest() -> None:
    writes = [commit(n, {"log/write": {"name": "x", "agent": "a", "token": n}}) for n in range(1, 9)]

    found = shown(folded(*writes, history_count=3))

    assert [e["token"] for e in found["file_modification_history"]] == [6, 7, 8]


def test_messages_show_their_beginning() -> None:
    sent = {"id": "m", "from": "a", "to": "b", "body": "hello", "subject": "s", "urgency": "high", "thread": "m"}
    found = shown(folded(commit(4, {"messages/b/m": {**sent, "revision": 4}})))

    assert found["messages"] == [
        {"id": "m", "from": "a", "to": "b", "subject": "s", "urgency": "high", "at": at(0), "message": "hello"}
    ]


def test_what_cannot_be_read_is_shown_as_damaged() -> None:
    state = folded(commit(1, {"locks/x": {"name": "x"}}))

    assert [d["key"] for d in shown(state)["damaged"]] == ["locks/x"]
    board.apply(state, commit(2, {"locks/x": lock("x", holding())}))
    assert shown(state)["damaged"] == []


def test_a_time_that_cannot_be_read_is_no_time_at_all() -> None:
    foreign = holding(acquired={"at": "noon", "mono_s": 1000.0, "boot": "boot-1"})

    assert shown(folded(commit(1, {"locks/x": lock("x", foreign)})))["active_locks"][0]["expires_at"] is None


# -- the head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"version":2,"revision":1,\n',
        b'{"version":1,"revision":"1",\n',
        b'{"version":1,"revision":-1,\n',
        b'{"version":1,"revision":true,\n',
        b'{"version":1,"last_updated":"",\n',
        b"[" * 5000,
    ],
)
def test_a_board_that_somebody_scribbled_on_says_nothing(data: bytes) -> None:
    assert board.read_head(data) is None


def test_a_head_is_read_from_the_first_line_alone() -> None:
    state = folded(commit(7, {"agents/a": entry()}))
    line = json.dumps(board.head(state))[:-1] + ",\n"

    assert board.read_head((line + '"active_locks":[garbage').encode()) == 7


# -- folding

AGENTS = ("a", "b")
NAMES = ("x", "y/")


@st.composite
def histories(draw: st.DrawFn, first: int = 1) -> list[Change]:
    """A stream of commits, from revision `first` on, that puts and deletes records, some of them damaged."""
    changes: list[Change] = []
    there: set[str] = set()
    for _ in range(draw(st.integers(0, 20))):
        revision = changes[-1].revision + 1 if changes else first
        puts: dict[str, Any] = {}
        for _ in range(draw(st.integers(1, 3))):
            key, value = draw(st.sampled_from(_could_be(revision, draw(st.sampled_from(AGENTS)))))
            if value is not None or key in there:
                puts[key] = value
        there = (there | puts.keys()) - {key for key, value in puts.items() if value is None}
        changes += commit(revision, puts, who=draw(st.sampled_from(AGENTS)), s=revision - first)
    return changes


def _could_be(revision: int, agent: str) -> list[tuple[str, Any]]:
    request = f"{agent}.{revision % 2}"
    message = {"id": f"m{revision}", "revision": revision, "body": "x"}
    found: list[tuple[str, Any]] = [
        (f"waiters/{request}", waiter(request, agent, seq=revision)),
        (f"waiters/{request}", None),
        (f"agents/{agent}", entry(agent, status=f"s{revision % 3}")),
        (f"agents/{agent}", None),
        (f"messages/{agent}/m{revision}", message),
        ("log/conflict", {"names": ["x"], "asked_by": agent, "held_by": []}),
    ]
    for name in NAMES:
        both = [holding(one, revision, mode="shared") for one in AGENTS]
        found += [(f"locks/{name}", lock(name, *both[:count])) for count in (1, 2)]
        found += [(f"locks/{name}", None), (f"locks/{name}", {"name": name})]
    return found


@settings(max_examples=40)
@given(histories(), st.data())
def test_folding_step_by_step_is_folding_from_scratch(changes: list[Change], data: st.DataObject) -> None:
    commits = list(by_commit(changes))
    cut = data.draw(st.integers(0, len(commits)))

    whole = folded(*commits, history_count=7)
    first = folded(*commits[:cut], history_count=7)
    shown(first)
    for one in commits[cut:]:
        board.apply(first, one)

    assert shown(first, 100) == shown(whole, 100)


@settings(max_examples=40)
@given(histories())
def test_what_is_shown_is_what_the_last_records_say(changes: list[Change]) -> None:
    last = {change.key: change.value for change in changes}
    found = shown(folded(*by_commit(changes)), 1)

    holders = {(n, h["agent"]) for n in NAMES for h in (last.get(f"locks/{n}") or {}).get("holders", [])}
    assert {(e["name"], e["agent"]) for e in found["active_locks"]} == holders
    assert {w["request"] for w in found["waiters"]} == {
        k[8:] for k, v in last.items() if k.startswith("waiters/") and v
    }
    said = {k[7:]: v["status"] for k, v in last.items() if k.startswith("agents/") and v}
    assert {a: e["status"] for a, e in found["agents"].items() if e["heartbeat_at"]} == said
    for agent, one in found["agents"].items():
        assert one["holds"] == sorted(name for name, holder in holders if holder == agent)


def test_what_is_learned_is_shown_and_tells_nothing() -> None:
    state = board.State(5)
    records = {"agents/a": entry(), "locks/x": lock("x", holding()), "wide": {"names": []}}

    state.learn(records.items())

    assert shown(state)["agents"]["a"]["holds"] == ["x"]
    assert (list(state.history), state.touched) == ([], {"agents/a", "locks/x"})


def test_two_holds_of_one_agent_on_one_name_end_together() -> None:
    twice = [holding(request=f"a.{n}", mode="shared", lease=f"a#{n}") for n in (1, 2)]
    state = folded(commit(1, {"locks/x": lock("x", *twice)}), commit(2, {"locks/x": None}))

    assert shown(state)["agents"] == {}


def test_of_two_names_that_an_agent_holds_the_other_stays() -> None:
    state = folded(
        commit(1, {f"locks/{name}": lock(name, holding(request=f"a.{name}")) for name in "xy"}),
        commit(2, {"locks/x": None}),
    )

    assert shown(state)["agents"]["a"]["holds"] == ["y"]
