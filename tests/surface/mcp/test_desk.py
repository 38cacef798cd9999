"""Each tool without a transport: its answers are what protocol/schema says, and what nobody sees is taken back."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError, LockHeld, UsageError
from latchboard.surface.mcp.catalogue import TOOLS
from latchboard.surface.mcp.desk import Desk
from latchboard.surface.mcp.identity import Caller
from latchboard.surface.mcp.push import BOARD, HISTORY, Push, concerned
from latchboard.surface.mcp.work import Outcome
from tests.surface.mcp.harness import WAIT_S_MAX, faults

Do = Callable[..., Outcome]


@pytest.fixture
def desk(project: Path) -> Iterator[Desk]:
    made = Desk(Latchboard, root=str(project), environ={"AGENT_ID": "planner"})
    yield made
    made.close()


@pytest.fixture
def do(desk: Desk) -> Iterator[Do]:
    """Call a tool; the answer is held to the schema of what it is like."""
    told, tell = socket.socketpair()

    def call(name: str, **arguments: Any) -> Outcome:
        said: list[str] = []
        outcome = desk.call(name, arguments, caller=Caller(), offered=(), cancel=told, tell=said.append)
        answer = {"format": 1, **outcome.facts}
        assert any(faults(like, answer) == [] for like in TOOLS[name].like.split()), answer
        return outcome

    yield call
    told.close()
    tell.close()


def test_a_life_of_two_agents(do: Do) -> None:
    assert do("acquire", paths=["src/a.py", "docs/"]).facts["agent"] == "planner"
    assert do("check", paths=["src/a.py"]).facts == {"free": True, "names": ["src/a.py"], "held": []}
    assert do("check", paths=["docs/x.md"], agent="builder").facts["free"] is False
    with pytest.raises(LockHeld):
        do("acquire", paths=["docs/x.md"], agent="builder")
    assert [one["name"] for one in do("renew", paths=["src/a.py"], ttl_s=60).facts["held"]] == ["src/a.py"]
    assert do("renew", paths=["src/b.py"]).facts["lost"] == ["src/b.py"]
    request = do("handoff_request", paths=["src/a.py"], agent="builder").facts
    assert (request["granted"], request["asked"][0]["agent"]) == (False, "planner")
    assert do("status").facts["unread"] == 1
    assert do("handoff_answer", request=request["request"], grant=True).facts["moved"] is True
    assert do("release", paths=["src/a.py", "docs/"]).facts["not_held"] == ["src/a.py"]
    assert do("release", all=True, agent="builder").facts["released"] == ["src/a.py"]
    assert do("wait", paths=["src/a.py"], wait_s_max=1).facts["token"] > 0
    assert do("handoff_request", paths=["src/a.py"], wait_s_max=1).facts["granted"] is True
    second = do("handoff_request", paths=["src/a.py"], agent="builder").facts["request"]
    assert do("handoff_answer", request=second, grant=False, reason="no").facts["reason"] == "no"


def test_mail_waits_until_it_is_taken(do: Do, desk: Desk) -> None:
    sent = do("send", to="builder", body="one", ack=True).facts["message"]
    do("send", all=True, body="two", subject="s", thread=sent["thread"])

    first = do("inbox", agent="builder")
    assert do("inbox", agent="builder").facts == first.facts
    assert do("inbox", agent="builder", peek=True).handed_on == frozenset()
    desk.take("builder", first.handed_on)
    again = do("inbox", agent="builder").facts["messages"]
    assert [(m["body"], m["redelivered"]) for m in again] == [("one", True)]
    assert do("ack", agent="builder", id=sent["id"]).facts["acked"] is True
    assert do("inbox", agent="builder").facts["messages"] == []


def test_every_answer_says_that_mail_waits(do: Do, desk: Desk) -> None:
    desk.open().mailbox.send("builder", "planner", "one")

    assert do("acquire", paths=["src/a.py"]).facts["unread"] == 1
    assert do("check", paths=["src/a.py"], agent="builder").facts.get("unread") is None
    desk.take("planner", do("inbox").handed_on)
    assert do("release", all=True).facts.get("unread") is None


def test_a_status_is_no_longer_than_a_model_can_read(do: Do, desk: Desk) -> None:
    for number in range(120):
        desk.open().agent(f"agent-{number}").lock(f"{number}.py", bound="agent")

    facts = do("status").facts

    assert [len(facts[name]) for name in ("active_locks", "agents")] == [100, 100]
    assert facts["left_count"] == 40


def test_a_grant_that_nobody_sees_is_taken_back_and_what_was_held_before_stays(do: Do) -> None:
    do("acquire", paths=["src/a.py"])
    outcome = do("acquire", paths=["src/a.py", "src/b.py"])
    assert outcome.hold is not None
    outcome.hold.undo()

    held = [lock["name"] for lock in do("status").facts["active_locks"]]
    assert held == ["src/a.py"]


def test_a_mistake_of_ours_is_no_traceback(desk: Desk) -> None:
    assert desk.fault(KeyError("inside"))["code"] == "internal"
    assert desk.fault(UsageError("wrong"))["code"] == "usage"


@pytest.mark.parametrize(
    ("caller", "given", "agent"),
    [
        (Caller(), None, "planner"),
        (Caller(), "other", "other"),
        (Caller(is_remote=True, header="web-1"), None, "web-1"),
        (Caller(is_remote=True, header="web-1", session="s"), "other", "other"),
    ],
)
def test_who_asks(desk: Desk, caller: Caller, given: str | None, agent: str) -> None:
    told, tell = socket.socketpair()
    with told, tell:
        arguments = {} if given is None else {"agent": given}
        outcome = desk.call("status", arguments, caller=caller, offered=(), cancel=told, tell=print)

    assert outcome.facts["agent"] == agent


def test_sessions_have_names_of_their_own_and_none_without_one(desk: Desk) -> None:
    identity, board = desk._identity, desk.open()
    names = [identity.of(board, None, Caller(is_remote=True, session=session)) for session in ("a", "b", "a")]

    assert names[0] == names[2] != names[1]
    with pytest.raises(UsageError, match="nobody can tell who asks"):
        identity.of(board, None, Caller(is_remote=True))


def test_who_is_started_by_claude_code_goes_by_the_id_of_its_hooks(project: Path) -> None:
    environ = {"CLAUDE_CODE_SESSION_ID": "5f1c", "CLAUDE_PROJECT_DIR": str(project)}
    desk = Desk(Latchboard, root=None, environ=environ)
    board, identity = desk.open(), desk._identity

    assert board.root == os.path.realpath(project)
    assert identity.of(board, None, Caller(client="claude-code")) == "5f1c"
    assert identity.of(board, "5f1c:sub", Caller(client="claude-code")) == "5f1c:sub"
    assert identity.of(board, None, Caller(client="codex-mcp-client")) != "5f1c"
    assert identity.of(board, None, Caller(client="claude-code", is_remote=True, session="s")) != "5f1c"
    desk.close()


def test_changes_concern_the_resources_in_which_they_show() -> None:
    assert concerned(["locks/src/a.py"]) == {BOARD, HISTORY}
    assert concerned(["agents/a", "leases/a"]) == {BOARD}
    assert concerned(["messages/a/1", "archive/a/1"]) == set()


def test_push_tells_what_other_processes_commit_and_ends(desk: Desk, board: Latchboard) -> None:
    told = threading.Event()
    found: list[set[str]] = []

    def tell(uris: set[str]) -> None:
        found.append(uris)
        told.set()

    push = Push(desk.open(), tell)
    board.mailbox.send("a", "b", "shows nowhere")
    board.agent("builder").lock("src/a.py", bound="agent")

    assert told.wait(WAIT_S_MAX)
    assert found[0] == {BOARD, HISTORY}
    push.close()
    assert not push._thread.is_alive()
    descriptors = len(os.listdir("/dev/fd"))
    for _ in range(20):
        Push(desk.open(), tell).close()
    assert len(os.listdir("/dev/fd")) < descriptors + 20  # others of this process open and close some, too


def test_a_project_that_is_not_there_is_an_error_of_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    desk = Desk(Latchboard, root=None, environ={})

    with pytest.raises(CoordinationError, match="no project here"):
        desk.open()
    (tmp_path / ".git").mkdir()
    assert desk.open().root == str(tmp_path.resolve())
    desk.close()


def test_a_project_that_is_gone_is_refused_and_not_made_anew(do: Do, desk: Desk, project: Path) -> None:
    do("acquire", paths=["src/a.py"])
    shutil.rmtree(project)

    for name, arguments in (("status", {}), ("acquire", {"paths": ["src/a.py"]}), ("inbox", {})):
        with pytest.raises(UsageError, match="is gone"):
            do(name, **arguments)
    with pytest.raises(UsageError, match="is gone"):
        desk.read(BOARD, ())
    desk.close()

    assert not project.exists()
