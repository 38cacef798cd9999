"""The checker itself: a history that is right passes, and each way to be wrong is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.histories.checker import check
from tests.histories.history import History, Op, with_mono, with_own_mono

A, B = "src/a.txt", "src/b.txt"
FOLDER = "src/"
TTL_S = 10.0


class Story:
    """Tells a history, one commit or call per line. A clock ticks a second at each."""

    def __init__(self) -> None:
        self.commits: list[dict[str, Any]] = []
        self.ops: list[Op] = []
        self.killed: dict[tuple[int, int], float] = {}
        self.files = {A: {"op": "", "previous": ""}}
        self.watched: list[tuple[int, str, bool]] | None = None
        self.now_s = 1000.0

    def commit(self, who: str, revision: int | None = None, **puts: Any) -> int:
        """Puts by kind: `locks={name: (holders, waiters)}`, `waiters=[...]`, `gone=[...]`, `write=(name, token)`."""
        self.now_s += 1
        revision = revision or len(self.commits) + 1
        values: dict[str, Any] = {}
        for name, holders in puts.get("locks", {}).items():
            values[f"locks/{name}"] = {"name": name, "holders": holders, "waiters": []}
        values.update({f"waiters/{waiter['request']}": waiter for waiter in puts.get("waiters", [])})
        if "renewed" in puts:
            values[f"leases/{puts['renewed']}"] = {"renewed": {"mono_s": self.now_s}}
        if "write" in puts:
            values["log/write"] = {"name": puts["write"][0], "token": puts["write"][1], "agent": who}
        at = f"1970-01-01T{int(self.now_s) // 3600:02}:{int(self.now_s) // 60 % 60:02}:{int(self.now_s) % 60:02}+00:00"
        deletes = [f"waiters/{request}" for request in puts.get("gone", [])]
        self.commits.append({"revision": revision, "at": at, "who": who, "puts": values, "deletes": deletes})
        return revision

    def held(self, agent: str, token: int, *, mode: str = "exclusive", request: str = "") -> dict[str, Any]:
        """A holding taken in the next commit."""
        return {
            "agent": agent,
            "mode": mode,
            "bound": "process",
            "token": token,
            "request": request or f"{agent}.{token}",
            "acquired": {"mono_s": self.now_s + 1},
            "ttl_s": TTL_S,
            "lease": agent,
            "process": process(agent),
        }

    def waits(self, agent: str, name: str, seq: int, *, wait_s_max: float | None = None) -> dict[str, Any]:
        """A waiter that queued in the next commit."""
        return {
            "request": f"{agent}.{seq}",
            "agent": agent,
            "attended": True,
            "process": process(agent),
            "wants": [{"name": name, "mode": "exclusive"}],
            "seq": seq,
            "since": {"mono_s": self.now_s + 1},
            "wait_s_max": wait_s_max,
            "handoff": None,
        }

    def op(self, agent: str, call: str, result: dict[str, Any] | None = None, **arguments: Any) -> str:
        """A call, and what it returned; None: it never did."""
        self.now_s += 1
        op = Op(agent, {"id": f"{agent}.1.{len(self.ops) + 1}", "call": call, "t": self.now_s, **arguments})
        if result is not None:
            op.returned_s, op.result = self.now_s + 0.5, result
        self.ops.append(op)
        return op.id

    def wrote(self, agent: str, token: int, previous: str, *, how: str = "ok", lands: bool = True) -> str:
        """A write of A, and its commit."""
        result: dict[str, Any] | None = {"ok": True} if how == "ok" else {"ok": False, "code": how}
        op = self.op(agent, "write", None if how == "killed" else result, file=A, previous=previous, tokens={A: token})
        if lands:
            self.files[A] = {"op": op, "previous": previous}
            self.commit(agent, write=(A, token))
        return op

    def problems(self) -> list[str]:
        return check(History(self.ops, with_mono(self.commits, 0.0), self.killed, self.files, self.watched))

    def problems_seen(self, seen_s: dict[int, float]) -> list[str]:
        """Where functions run side by side: what is known of a commit is when somebody had received it."""
        return check(History(self.ops, with_own_mono(self.commits, 0.0, seen_s), self.killed, self.files, None))


def process(agent: str) -> dict[str, Any]:
    return {"pid": sum(agent.encode()), "start": 1}


@pytest.fixture
def story() -> Story:
    return Story()


def finds(story: Story, words: str) -> bool:
    return any(words in problem for problem in story.problems())


# -- right -------------------------------------------------------------------------------------------------------------


def test_history_that_is_right_has_no_problems(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.op("x", "acquire", {"ok": True, "tokens": {A: 1}}, names=[A])
    first = story.wrote("x", 1, "")
    waiter = story.waits("y", A, 3)
    story.commit("y", waiters=[waiter])
    story.commit("x", locks={A: [story.held("y", 4, request=waiter["request"])]}, gone=[waiter["request"]])
    story.op("x", "release", {"ok": True, "was_held": True}, tokens={A: 1})
    story.wrote("y", 4, first)
    story.wrote("x", 1, first, how="taken-over", lands=False)
    sent = story.op("x", "send", {"ok": True, "message": "m"}, to="y")
    story.op("y", "receive", {"ok": True, "got": [["m", "x", sent]]})
    story.op("y", "ack", {"ok": True, "was_first": True}, message="m")
    story.op("y", "receive", {"ok": True, "got": []})

    assert story.problems() == []


def test_takeover_from_a_killed_or_expired_holder_is_right(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)], B: [story.held("z", 1)]})
    story.killed[process("x")["pid"], 1] = story.now_s + 0.5
    story.commit("y", locks={A: [story.held("y", 2)]})
    story.now_s += TTL_S
    story.commit("y", locks={B: [story.held("y", 3)]})

    assert story.problems() == []


def test_write_that_never_returned_may_or_may_not_be_there(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    first = story.wrote("x", 1, "", how="killed")
    story.wrote("x", 1, first, how="killed", lands=False)

    assert story.problems() == []


# -- wrong: locks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "two"), [(A, A), (A, FOLDER), (FOLDER, "glob:**/*.txt")])
def test_two_conflicting_holders_are_found(one: str, two: str, story: Story) -> None:
    story.commit("x", locks={one: [story.held("x", 1)]})
    before = [story.held("x", 1)] if one == two else []
    story.commit("y", locks={two: [*before, story.held("y", 2)]})

    assert finds(story, "after 2")


def test_two_holders_that_share_are_right(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1, mode="shared"), story.held("y", 1, mode="shared")]})

    assert story.problems() == []


def test_token_that_comes_twice_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.commit("x", locks={A: []})
    story.commit("y", locks={A: [story.held("y", 1)]})

    assert finds(story, "is not above")


def test_token_that_is_not_its_commits_revision_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 5)]})

    assert finds(story, "revision 1 grants")


def test_revision_that_goes_back_is_found(story: Story) -> None:
    story.commit("x", revision=7)
    story.commit("x", revision=6)

    assert finds(story, "follows")


def test_takeover_from_a_live_holder_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.commit("y", locks={A: [story.held("y", 2)]})
    story.commit("y")

    assert finds(story, "y took src/a.txt from x")


def test_takeover_from_a_holder_that_had_renewed_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.now_s += TTL_S - 2
    story.commit("x", renewed="x")
    story.now_s += TTL_S - 2
    story.commit("y", locks={A: [story.held("y", 3)]})

    assert finds(story, "y took src/a.txt from x")


def test_renewal_that_came_too_late_does_not_count(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.now_s += TTL_S + 1
    story.commit("x", renewed="x")
    story.commit("y", locks={A: [story.held("y", 3)]})

    assert story.problems() == []


@pytest.mark.parametrize("name", [A, FOLDER])
def test_grant_before_somebody_who_asked_first_is_found(name: str, story: Story) -> None:
    story.commit("x", locks={B: [story.held("x", 1)]})
    story.commit("y", waiters=[story.waits("y", name, 2)])
    story.commit("z", locks={A: [story.held("z", 3)]})

    assert finds(story, "before y, who asked first")


@pytest.mark.parametrize("excuse", ["killed", "out of time", "needs what the other has"])
def test_grant_before_a_waiter_who_cannot_take_it_is_right(excuse: str, story: Story) -> None:
    story.commit("z", locks={B: [story.held("z", 1)] if excuse.startswith("needs") else []})
    waiter = story.waits("y", A, 2, wait_s_max=0.5 if excuse == "out of time" else None)
    waiter["wants"].append({"name": B, "mode": "exclusive"})
    story.commit("y", waiters=[waiter])
    if excuse == "killed":
        story.killed[process("y")["pid"], 1] = story.now_s
    story.commit("z", locks={A: [story.held("z", 3)]})

    assert story.problems() == []


@pytest.mark.parametrize("shares_already", [True, False])
def test_grant_to_a_holder_who_is_inside_already_overtakes_nobody(shares_already: bool, story: Story) -> None:
    story.commit("x", locks={B: [story.held("x", 1)]})
    story.commit("z", locks={A: [story.held("z", 2, mode="shared")] if shares_already else []})
    waiter = story.waits("y", A, 3)
    waiter["wants"] = [{"name": A, "mode": "shared"}, {"name": B, "mode": "shared"}]
    story.commit("y", waiters=[waiter])
    story.commit("z", locks={A: [{**story.held("z", 4), "first_token": 2}]})

    assert finds(story, "before y, who asked first") is not shares_already


# -- wrong: the watch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watched", "words"),
    [
        ([(1, f"locks/{A}", True), (2, f"locks/{B}", True)], ""),
        ([(1, f"locks/{A}", True)], "the watch missed"),
        ([(1, f"locks/{A}", True), (2, f"locks/{B}", True), (2, f"locks/{B}", True)], "2 times"),
        ([(1, f"locks/{A}", True), (2, f"locks/{B}", True), (3, "locks/c", True)], "which nobody committed"),
        ([(2, f"locks/{B}", True), (1, f"locks/{A}", True)], "the watch went back"),
    ],
)
def test_watch_that_is_not_the_journal_is_found(watched: list[tuple[int, str, bool]], words: str, story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.commit("x", locks={B: [story.held("x", 2)]})
    story.watched = watched

    assert finds(story, words) if words else story.problems() == []


# -- wrong: answers ----------------------------------------------------------------------------------------------------


def test_grant_that_nobody_committed_is_found(story: Story) -> None:
    story.op("x", "acquire", {"ok": True, "tokens": {A: 1}}, names=[A])

    assert finds(story, "no commit says so")


def test_release_that_nobody_committed_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.op("x", "acquire", {"ok": True, "tokens": {A: 1}}, names=[A])
    story.op("x", "release", {"ok": True, "was_held": True}, tokens={A: 1})

    assert finds(story, "told that it released")


# -- wrong: files ------------------------------------------------------------------------------------------------------


def test_lost_update_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    first = story.wrote("x", 1, "")
    story.wrote("x", 1, first)
    story.wrote("x", 1, first)

    assert finds(story, "is lost")


def test_write_that_was_refused_and_is_there_all_the_same_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.wrote("x", 1, "", how="taken-over")

    assert finds(story, "was refused")


@pytest.mark.parametrize("successor", ["exclusive", "shared", None])
def test_write_by_a_former_holder_is_found(successor: str | None, story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.commit("x", locks={A: [story.held("y", 2, mode=successor)] if successor else []})
    story.wrote("x", 1, "")

    assert finds(story, "by a former holder")


def test_write_after_the_lease_ran_out_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.now_s += TTL_S
    story.wrote("x", 1, "")

    assert finds(story, "after the lease ran out")


def test_write_that_succeeded_without_a_trace_is_found(story: Story) -> None:
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.wrote("x", 1, "")
    story.commits.pop()

    assert finds(story, "are recorded")


def test_file_written_by_nobody_is_found(story: Story) -> None:
    story.files[A] = {"op": "ghost.1.1", "previous": ""}

    assert finds(story, "which nobody called")


# -- where functions run side by side ----------------------------------------------------------------------------------


def taken_and_then_killed(story: Story) -> dict[int, float]:
    """A hold that goes to another one, whose commit was received at 1010, while its process is killed at 1020."""
    story.commit("x", locks={A: [story.held("x", 1)]})
    story.commit("y", locks={A: [story.held("y", 2)]})
    story.killed[process("x")["pid"], 1] = 1020.0
    return {1: 1001.0, 2: 1010.0}


def test_hold_that_was_taken_before_its_process_was_killed_is_found(story: Story) -> None:
    seen_s = taken_and_then_killed(story)

    assert any("took src/a.txt from x at 2" in problem for problem in story.problems_seen(seen_s))


def test_hold_that_may_have_been_taken_after_its_process_was_killed_is_right(story: Story) -> None:
    seen_s = taken_and_then_killed(story)

    assert story.problems_seen({**seen_s, 2: 1021.0}) == []


def test_what_nobody_received_was_there_before_what_came_after_it(story: Story) -> None:
    seen_s = taken_and_then_killed(story)
    story.commit("y", renewed="y")

    assert story.problems_seen({3: seen_s[2]}) != []
    assert story.problems_seen({3: 1021.0}) == []


@pytest.mark.parametrize(("presence", "is_right"), [("p1", True), ("p2", False), (None, True)])
def test_two_holds_of_one_process_are_one_holders_under_one_presence(
    presence: str | None, is_right: bool, story: Story
) -> None:
    first, second = story.held("x", 1), story.held("x", 2)
    first["process"] = {**process("x"), "presence": "p1"}
    second["process"] = {**process("x"), **({"presence": presence} if presence else {})}
    story.commit("x", locks={A: [first]})
    story.commit("x", locks={FOLDER: [second]})

    assert (story.problems() == []) is is_right


# -- wrong: mail -------------------------------------------------------------------------------------------------------


def test_accepted_message_that_never_came_is_found(story: Story) -> None:
    story.op("x", "send", {"ok": True, "message": "m"}, to="y")

    assert finds(story, "was accepted and is lost")


def test_message_that_may_not_have_been_accepted_need_not_come(story: Story) -> None:
    story.op("x", "send", None, to="y")
    story.op("x", "send", {"ok": False, "code": "store-busy"}, to="y")

    assert story.problems() == []


def test_message_to_somebody_else_is_found(story: Story) -> None:
    sent = story.op("x", "send", {"ok": True, "message": "m"}, to="y")
    story.op("z", "receive", {"ok": True, "got": [["m", "x", sent]]})

    assert finds(story, "which was not sent to it")


def test_message_that_comes_after_it_was_acknowledged_is_found(story: Story) -> None:
    sent = story.op("x", "send", {"ok": True, "message": "m"}, to="y")
    story.op("y", "receive", {"ok": True, "got": [["m", "x", sent]]})
    story.op("y", "ack", {"ok": True, "was_first": True}, message="m")
    story.op("y", "receive", {"ok": True, "got": [["m", "x", sent]]})

    assert finds(story, "again after it had acknowledged it")


def test_two_first_acknowledgements_are_found(story: Story) -> None:
    for _ in range(2):
        story.op("y", "ack", {"ok": True, "was_first": True}, message="m")

    assert finds(story, "twice for the first time")


def test_messages_of_one_sender_out_of_order_are_found(story: Story) -> None:
    first = story.op("x", "send", {"ok": True, "message": "m1"}, to="y")
    second = story.op("x", "send", {"ok": True, "message": "m2"}, to="y")
    story.op("y", "receive", {"ok": True, "got": [["m2", "x", second], ["m1", "x", first]]})

    assert finds(story, "after a later message")
