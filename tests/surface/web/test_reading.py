"""What a page reads: each answer is what its schema says, and what the command of the same name says."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import closing
from pathlib import Path

from latchboard.compose import Latchboard
from latchboard.settings import Settings
from latchboard.surface.web.answer import to_text
from tests.surface.web.harness import Served

SAID = {"agent": "operator", "all": True, "body": "x"}


def test_health_names_product_and_both_versions_and_no_secret(served: Served) -> None:
    found = served.get("/api/health", token=None).held_to("health")

    assert (found["product"], found["version"], found["protocol_version"]) == ("latchboard", "0.1.0", 1)
    assert set(found) == {"format", "product", "version", "protocol_version", "pid", "started_at"}


def test_board_is_that_of_status_and_more(served: Served, board: Latchboard) -> None:
    board.board.update("planner", "thinking", ["src/a.py"])
    board.agent("planner").lock("src/a.py")

    found = served.get("/api/board").held_to("http-board")

    assert found["root"] == board.root
    read = board.board.read()
    assert {name: found[name] for name in read} == read
    assert [(one["name"], one["agent"]) for one in found["active_locks"]] == [("src/a.py", "planner")]


def test_board_of_a_project_without_a_store_is_empty_and_makes_none(served: Served, board: Latchboard) -> None:
    found = served.get("/api/board").held_to("http-board")

    assert (found["revision"], found["agents"], found["active_locks"]) == (0, {}, [])
    assert not board.store.read("wide").revision


def test_conversations_come_newest_first_and_one_of_them_whole(served: Served, board: Latchboard) -> None:
    mail = board.mailbox
    first = mail.send("planner", "builder", "is a.py done?", subject="a.py", ack="required")
    mail.send("builder", "planner", "nearly", reply_to=mail.receive("builder")[0]["id"])
    told = mail.broadcast("operator", "main is frozen")
    mail.receive("planner")

    listed = served.get("/api/messages").held_to("http-messages")
    thread = served.get(f"/api/messages?thread={first['thread']}").held_to("http-messages")

    assert [one["thread"] for one in listed["threads"]] == [told["thread"], first["thread"]]
    talk = listed["threads"][1]
    assert (talk["subject"], talk["agents"], talk["messages_count"]) == ("a.py", ["builder", "planner"], 2)
    assert (talk["waiting_count"], talk["unacked_count"], talk["newest"]["excerpt"]) == (0, 1, "nearly")
    assert [(m["from"], m["body"], m["deliveries"][0]["state"]) for m in thread["messages"]] == [
        ("planner", "is a.py done?", "delivered"),
        ("builder", "nearly", "taken"),
    ]
    frozen = served.get(f"/api/messages?thread={told['thread']}").json["messages"][0]
    assert (frozen["to"], [(one["agent"], one["state"]) for one in frozen["deliveries"]]) == (
        None,
        [("planner", "taken")],
    )


def test_limits_of_conversations_say_how_much_is_left(served: Served, board: Latchboard) -> None:
    for number in range(3):
        board.mailbox.send("planner", "builder", f"number {number}", thread="one" if number else "two")

    assert served.get("/api/messages?limit=1").held_to("http-messages")["left_count"] == 1
    found = served.get("/api/messages?thread=one&limit=1").held_to("http-messages")
    assert ([one["body"] for one in found["messages"]], found["left_count"]) == (["number 2"], 1)
    assert served.get("/api/messages?thread=nobody").held_to("http-messages")["messages"] == []


def test_conflicts_are_listed_and_one_that_is_not_there_is_refused(served: Served) -> None:
    assert served.get("/api/conflicts").held_to("http-conflicts")["conflicts"] == []
    served.get("/api/conflicts?id=nothing").failed(400, "usage")


def test_a_conflict_is_shown_with_its_diffs_as_the_command_shows_it(
    served: Served, board: Latchboard, tmp_path: Path
) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("one\ntwo\n")
    board.editing.begin("planner", ["a.py", "b.py"])
    board.editing.done("planner")
    board.foreign.before_call("builder")
    (tmp_path / "a.py").write_text("one\n2\n")
    (tmp_path / "b.py").unlink()
    (made,) = board.foreign.after_call("builder")

    (listed,) = served.get("/api/conflicts").held_to("conflict-list")["conflicts"]
    shown = served.get(f"/api/conflicts?id={made['id']}").held_to("conflict-show")

    assert [(one["id"], one["holder"], one["by"]) for one in (listed, shown)] == [
        (made["id"], "planner", "builder")
    ] * 2
    first, second = shown["files"]
    assert "-two\n+2\n" in first["diff_text"] and (second["what"], second["diff_text"]) == ("deleted", "")


def test_metrics_are_the_project_s_and_the_daemon_s(served: Served) -> None:
    served.get("/api/board")
    served.get("/api/nothing")

    found = served.get("/metrics", token=None)

    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = found.body.decode().splitlines()
    assert 'latchboard_http_answers_total{status="2xx"} 1' in lines
    assert 'latchboard_http_answers_total{status="4xx"} 1' in lines
    assert "latchboard_pages_open 0" in lines
    assert "# TYPE latchboard_singleton_running gauge" in lines


def test_parameters_are_read_strictly(served: Served) -> None:
    for query in ("at=-1", "at=1e3", "at=", "at=1&at=2", "at=99999999999999999999", "now=1", "at=%00", "at=1%20"):
        served.get(f"/api/board?{query}").failed(400, "usage")
    for query in ("limit=0", "limit=1001", "thread=", "thread=a/b", "thread=" + "x" * 201):
        served.get(f"/api/messages?{query}").failed(400, "usage")


def test_the_board_is_shown_as_it_was(served: Served, board: Latchboard) -> None:
    revisions = []
    for number in range(5):
        board.board.update("planner", f"number {number}")
        revisions.append(board.store.read("wide").revision)

    then = served.get(f"/api/board?at={revisions[2]}").held_to("http-board")
    assert (then["revision"], then["agents"]["planner"]["status"]) == (revisions[2], "number 2")
    assert served.get("/api/board?at=0").json["revision"] == revisions[0]
    assert then["root"] == board.root
    served.get(f"/api/board?at={revisions[-1] + 1}").failed(400, "usage")


def test_history_tells_how_far_back_it_goes_and_what_was_committed(served: Served, board: Latchboard) -> None:
    assert served.get("/api/history").held_to("http-history") == {
        "format": 1,
        "oldest": 0,
        "newest": 0,
        "commits": [],
    }
    assert served.get("/api/timeline").held_to("http-timeline")["commits"] == []
    revisions = []
    for number in range(10):
        board.board.update("planner", f"number {number}")
        revisions.append(board.store.read("wide").revision)

    found = served.get(f"/api/history?after={revisions[3]}&limit=4").held_to("http-history")
    assert (found["oldest"], found["newest"]) == (revisions[0], revisions[-1])
    assert [one["revision"] for one in found["commits"]] == revisions[4:8]
    assert [event["status"] for one in found["commits"] for event in one["events"]] == [
        f"number {number}" for number in range(4, 8)
    ]
    times = served.get("/api/timeline?count=4").held_to("http-timeline")["commits"]
    assert (times[0]["revision"], times[-1]["revision"], len(times)) == (revisions[0], revisions[-1], 4)


def test_what_is_not_kept_any_more_is_told_as_that(tmp_path: Path) -> None:
    short = Settings(journal_bytes_max=20_000, journals_kept_count=1)
    with closing(Latchboard(tmp_path, settings=short, publishes=False)) as board, closing(Served(board)) as served:
        board.board.update("planner", "first")
        first = board.store.read("wide").revision
        for number in range(200):
            board.board.update("planner", f"number {number}")

        assert served.get("/api/history").held_to("http-history")["oldest"] > first
        assert served.get(f"/api/history?after={first}").failed(410, "compacted")["oldest"] > first
        served.get(f"/api/board?at={first}").failed(410, "compacted")


def test_what_json_cannot_say_is_said_as_far_as_it_can_be() -> None:
    assert (
        to_text({"a\udce9": ["\ud800", float("nan"), (1.5, "\u20ac")]})
        == '{"a\\\\udce9":["\\\\ud800",null,[1.5,"\u20ac"]]}'
    )


def test_a_parameter_that_comes_twice_is_refused(served: Served) -> None:
    for path in ("/api/history?after=0&after=0", "/api/messages?thread=a&thread=b", "/api/events?after=0&after=1"):
        assert "comes twice" in served.get(path).failed(400, "usage")["message"]


def test_while_the_guard_of_the_store_is_held_the_daemon_answers_and_says_who_has_it(tmp_path: Path) -> None:
    hasty = Settings(guard_wait_s_max=0.2)
    with closing(Latchboard(tmp_path, settings=hasty, publishes=False)) as board, closing(Served(board)) as served:
        board.board.update("planner", "first")
        with open(f"{board.root}/data/.agent_locks/journal/guard", "r+b") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)  # as by a process that was stopped
            asked = [threading.Thread(target=served.post, args=("/api/send", SAID)) for _ in range(20)]
            for one in asked:
                one.start()
            assert served.get("/api/health").status == 200
            assert str(os.getpid()) in served.post("/api/send", SAID).failed(503, "store-busy")["message"]
            for one in asked:
                one.join()
            assert served.get("/metrics").status == served.get("/").status == 200
        assert served.post("/api/send", SAID).status == 200
