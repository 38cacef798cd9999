"""board.md and watch.md through status, agents, update, history and watch; break and cleanup."""

from __future__ import annotations

import json
import shlex

import pytest

from .conftest import WAIT_S_MAX, Subject, validate


@pytest.mark.board
def test_status_shows_agents_holds_and_the_line(subject: Subject) -> None:
    subject.done("update", "splitting", "src/a.py", "--agent", "planner")
    subject.lock("src/a.py", agent="planner")
    subject.done("handoff", "request", "src/a.py", "--no-wait", "--agent", "builder")

    board = subject.done("status")

    planner = board["agents"]["planner"]
    assert (planner["status"], planner["files"], planner["holds"]) == ("splitting", ["src/a.py"], ["src/a.py"])
    assert board["agents"]["builder"]["waits_for"] == ["src/a.py"]
    assert [lock["name"] for lock in board["active_locks"]] == ["src/a.py"]
    assert [waiter["agent"] for waiter in board["waiters"]] == ["builder"]
    assert list(subject.done("status", "--agent", "planner")["agents"]) == ["planner"]


@pytest.mark.board
def test_agents_are_sorted(subject: Subject) -> None:
    for agent in ("b", "a"):
        subject.done("update", "busy", "--agent", agent)

    assert [agent["agent"] for agent in subject.done("agents")["agents"]] == ["a", "b"]


@pytest.mark.board
def test_history_tells_who_held_what(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")
    subject.ask("acquire", "src/a.py", "--agent", "builder")
    subject.done("release", "src/a.py", "--agent", "planner")
    subject.lock("docs/x.md", agent="builder")

    told = [(event["event"], event.get("agent")) for event in subject.done("history", "src/a.py")["events"]]

    assert told == [("lock.acquired", "planner"), ("lock.refused", "builder"), ("lock.released", "planner")]
    assert len(subject.done("history", "--limit", "1")["events"]) == 1


@pytest.mark.board
def test_conflict_names_both_sides(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")
    subject.ask("acquire", "src/a.py", "--agent", "builder")

    conflict = subject.done("status")["conflicts"][-1]

    assert (conflict["asked_by"], [held["agent"] for held in conflict["held_by"]]) == ("builder", ["planner"])


@pytest.mark.board
def test_broken_board_file_changes_nothing(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")
    board = subject.project / "data" / ".agent_locks" / "status_board.json"
    for damage in ("", "{", '{"active_locks": []}'):
        board.write_text(damage)

        assert subject.holder("src/a.py") == "planner"
        assert subject.done("status")["active_locks"][0]["agent"] == "planner"
    subject.done("update", "busy", "--agent", "planner")
    assert json.loads(board.read_text())["active_locks"][0]["agent"] == "planner"


@pytest.mark.watching
def test_watch_is_ordered_and_resumes_without_gaps(subject: Subject) -> None:
    for name in ("a", "b", "c"):
        subject.lock(name, agent="planner")
    words = ("watch", "--json", "--timeout-s", "0", "--after")

    lines = [json.loads(line) for line in subject(*words, "0").out.splitlines()]
    later = [json.loads(line) for line in subject(*words, str(lines[0]["revision"])).out.splitlines()]

    for line in lines:
        validate("watch", line)
    acquired = [line["name"] for line in lines if line["event"] == "lock.acquired"]
    assert acquired == ["a", "b", "c"]
    assert lines[-len(later) :] == later
    assert all(line["revision"] > lines[0]["revision"] for line in later)


@pytest.mark.watching
def test_watch_tells_while_it_happens(subject: Subject) -> None:
    revision = subject.done("status")["revision"]
    process = subject.start("watch", "--json", "--count", "2", "--after", str(revision), "--prefix", "lock.")
    assert process.stdout is not None

    subject.lock("a", agent="planner")
    first = json.loads(process.stdout.readline())
    subject.done("release", "a", "--agent", "planner")
    second = json.loads(process.stdout.readline())

    assert (first["event"], second["event"]) == ("lock.acquired", "lock.released")
    assert process.wait(timeout=WAIT_S_MAX) == 0


@pytest.mark.watching
def test_what_is_not_kept_is_12(subject: Subject) -> None:
    subject.lock("a", agent="planner")

    answer = subject("watch", "--after", "1", "--timeout-s", "0", "--json")

    assert (answer.status, answer.code) == (12, "compacted")


@pytest.mark.watching
def test_command_gets_the_event(subject: Subject, shell: list[str]) -> None:
    subject.lock("it's; $HOME", agent="planner")
    program = "import json, os, sys; print(json.loads(sys.stdin.readline())['name'], os.environ['LATCHBOARD_EVENT'])"

    answer = subject("watch", "--after", "0", "--timeout-s", "0", "--exec", shlex.join([*shell, program]))

    assert answer.out == "it's; $HOME lock.acquired\n"


@pytest.mark.operating
def test_break_ends_a_hold_and_tells_the_holder(subject: Subject) -> None:
    token = subject.lock("a", agent="planner")

    stale = subject.ask("break", "a", "--agent", "operator", "--reason", "x", "--token", str(token - 1))
    broken = subject.done("break", "a", "--agent", "operator", "--reason", "it hangs", "--token", str(token))["broken"]

    assert stale.status == 10
    assert [(one["agent"], one["token"]) for one in broken] == [("planner", token)]
    assert subject.holder("a") is None
    assert "it hangs" in subject.done("inbox", "--agent", "planner")["messages"][0]["body"]
    assert subject.ask("release", "a", "--agent", "planner").status == 11


@pytest.mark.operating
def test_cleanup_removes_what_is_over_and_leaves_what_lives(subject: Subject) -> None:
    subject.lock("live", agent="planner")
    subject.lock("over", agent="builder", ttl_s="1")
    subject.until(lambda: subject.holder("over") is None)

    dry = subject.done("cleanup", "--dry-run")
    wet = subject.done("cleanup")
    again = subject("cleanup")

    assert [one["name"] for one in dry["locks"]] == [one["name"] for one in wet["locks"]] == ["over"]
    assert (again.status, again.out) == (0, "")
    assert subject.holder("live") == "planner"


@pytest.mark.operating
def test_damage_is_a_finding_and_stays(subject: Subject) -> None:
    subject.lock("a", agent="planner")
    record = next((subject.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{")

    answer = subject.ask("cleanup")

    assert answer.status == 3
    assert len(answer.json["damaged"]) == 1
    assert subject("check", "a").status == 12
