"""What an operator does: as the commands of the same names, with the same answers and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import StoreBusy, StoreError, StoreFull
from latchboard.surface.web import body, openapi
from tests.surface.web.harness import TOKEN, WAIT_S_MAX, Served

NOBODY = {"agent": "operator"}


def held(board: Latchboard, agent: str, *paths: str) -> list[dict[str, Any]]:
    board.locks.acquire(board.locks.request(agent, paths, bound="agent", reason="split it"))
    return board.locks.check(paths)


def names(board: Latchboard) -> list[tuple[str, str]]:
    return [(one["name"], one["agent"]) for one in board.board.read()["active_locks"]]


# -- release ----------------------------------------------------------------------------------------------------------


def test_release_gives_back_and_says_what_was_not_there(served: Served, board: Latchboard) -> None:
    held(board, "planner", "src/a.py", "src/b.py")

    found = served.post("/api/release", {"agent": "planner", "paths": ["src/a.py", "./src/c.py"]}).held_to("release")

    assert (found["released"], found["not_held"]) == (["src/a.py"], ["src/c.py"])
    assert names(board) == [("src/b.py", "planner")]
    assert served.post("/api/release", {"agent": "planner", "all": True}).held_to("release")["released"] == ["src/b.py"]


HOLDER = """
import sys
from latchboard import Latchboard
with Latchboard(sys.argv[1]).agent("builder").lock("src/a.py") as hold:
    print(hold.token, flush=True)
    sys.stdin.read()
"""


@pytest.mark.process
def test_what_a_living_process_holds_is_given_back_only_for_its_token(served: Served, board: Latchboard) -> None:
    command = [sys.executable, "-c", HOLDER, board.root]
    asked = {"agent": "builder", "paths": ["src/a.py"]}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        token = int(holder.stdout.readline())

        for more in ({}, {"token": token + 1}):
            found = served.post("/api/release", {**asked, **more}).held_to("release")
            assert (found["released"], found["not_held"]) == ([], ["src/a.py"])
        assert served.post("/api/release", {**asked, "token": token}).json["released"] == ["src/a.py"]
        holder.communicate("")


def test_release_takes_paths_or_all(served: Served) -> None:
    for more in ({}, {"paths": ["a"], "all": True}, {"all": False}):
        served.post("/api/release", {"agent": "planner", **more}).failed(400, "usage")


# -- break ------------------------------------------------------------------------------------------------------------


def test_break_ends_a_hold_tells_the_holder_and_leaves_a_newer_one(served: Served, board: Latchboard) -> None:
    token = held(board, "planner", "src/a.py")[0]["token"]
    asked = {**NOBODY, "path": "src/a.py", "reason": "it hangs"}

    refused = served.post("/api/break", {**asked, "token": token - 1}).failed(409, "refused")
    assert refused["newest"] == token
    found = served.post("/api/break", {**asked, "token": token}).held_to("break")

    assert [(one["agent"], one["token"]) for one in found["broken"]] == [("planner", token)]
    assert names(board) == []
    assert "it hangs" in board.mailbox.peek("planner")[0]["body"]
    assert served.post("/api/break", asked).held_to("break")["broken"] == []


# -- send -------------------------------------------------------------------------------------------------------------


def test_send_reaches_one_or_all(served: Served, board: Latchboard) -> None:
    asked = {**NOBODY, "to": "planner", "body": "wie geht's? \U0001f512", "subject": "hello", "urgency": "high"}

    sent = served.post("/api/send", {**asked, "ack_by_s": 60}).held_to("send")["message"]
    told = served.post("/api/send", {**NOBODY, "all": True, "body": "", "expires_s": 60.5}).held_to("send")["message"]

    assert (sent["to"], sent["ack"], sent["urgency"]) == ("planner", "required", "high")
    assert [one["body"] for one in board.mailbox.peek("planner")] == [asked["body"], ""]
    assert told["to"] is None


def test_send_takes_one_reader_or_all_and_a_reply_what_there_is(served: Served) -> None:
    for more in ({}, {"to": "a", "all": True}, {"all": False}, {"to": "a", "reply_to": "nothing"}, {"to": "a/ "}):
        served.post("/api/send", {**NOBODY, "body": "x", **more}).failed(400, "usage")


# -- handoff ----------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_by_its_holder(served: Served, board: Latchboard) -> None:
    held(board, "planner", "src/a.py")
    asking = {"action": "request", "agent": "builder", "paths": ["src/a.py"], "reason": "the build", "wait_s_max": 60}

    asked = served.post("/api/handoff", asking).held_to("handoff-request")
    assert (asked["granted"], asked["asked"][0]["agent"]) == (False, "planner")
    waiter = served.get("/api/board").json["waiters"][0]
    assert (waiter["request"], waiter["handoff"]) == (asked["request"], "asked")
    answering = {"agent": "planner", "request": asked["request"]}
    found = served.post("/api/handoff", {"action": "grant", **answering}).held_to("handoff-grant")

    assert found["moved"] is True
    assert names(board) == [("src/a.py", "builder")]
    served.post("/api/handoff", {"action": "decline", **answering, "reason": "no"}).failed(400, "usage")


def test_a_request_for_what_is_free_is_granted_and_one_may_be_declined(served: Served, board: Latchboard) -> None:
    asking = {"action": "request", "agent": "builder", "paths": ["src/a.py"]}
    assert served.post("/api/handoff", asking).held_to("handoff-request")["granted"] is True
    asked = served.post("/api/handoff", {**asking, "agent": "planner", "shared": True}).held_to("handoff-request")

    answer = {"action": "decline", "agent": "builder", "request": asked["request"], "reason": "in an hour"}
    assert served.post("/api/handoff", answer).held_to("handoff-decline")["reason"] == "in an hour"
    assert names(board) == [("src/a.py", "builder")]


# -- stop -------------------------------------------------------------------------------------------------------------


def test_stop_is_said_once_its_answer_is_on_its_way(served: Served) -> None:
    served.post("/api/stop", {"now": True}).failed(400, "usage")
    assert served.stops == []

    assert served.post("/api/stop").held_to("http-stop")["stopping"] is True
    served.close()  # whatever was on its way has been done then
    assert served.stops == ["asked to"]


# -- what cannot be right ---------------------------------------------------------------------------------------------

VALID: dict[str, dict[str, Any]] = {
    "release": {"agent": "planner", "paths": ["src/a.py"]},
    "break": {"agent": "operator", "path": "src/a.py", "reason": "x"},
    "send": {"agent": "operator", "to": "planner", "body": "x"},
    "handoff": {"action": "request", "agent": "operator", "paths": ["src/a.py"]},
    "stop": {},
}


@pytest.mark.parametrize("name", sorted(VALID))
def test_a_body_is_json_an_object_and_strict(served: Served, board: Latchboard, name: str) -> None:
    path, valid = f"/api/{name}", VALID[name]
    deep = '{"agent":' + "[" * 100_000 + "]" * 100_000 + "}"
    texts: list[bytes] = [b"", b"null", b"[]", b'"x"', b"1", b"{", b"{}{}", b'{"a":1,}', b"\xff\xfe", deep.encode()]
    texts += [b'{"agent": "\xff"}', b'{"x": NaN}', b'{"x": 1' + b"0" * 5000 + b"}"]
    texts += [json.dumps({**valid, "what": 1}).encode()]
    texts += [json.dumps({**valid, field: None}).encode() for field in valid]
    texts += [json.dumps({k: v for k, v in valid.items() if k != field}).encode() for field in valid]
    for text in texts:
        served.ask("POST", path, text, headers={"Content-Type": "application/json"}).failed(400, "usage")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"):
        body = json.dumps(valid).encode()
        served.ask("POST", path, body, headers={"Content-Type": kind}).failed(415, "unsupported-media-type")
    assert served.stops == [] and board.store.read("wide").revision == 0


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("release", {"paths": []}),
    ("release", {"paths": "src/a.py"}),
    ("release", {"paths": [""]}),
    ("release", {"paths": [1]}),
    ("release", {"paths": ["a"] * 1001}),
    ("release", {"paths": ["a\0b"]}),
    ("release", {"paths": ["\ud800"]}),
    ("release", {"paths": ["x" * 5000]}),
    ("release", {"agent": " planner"}),
    ("release", {"agent": "p\n"}),
    ("release", {"agent": "x" * 201}),
    ("release", {"agent": 1}),
    ("release", {"all": 1}),
    ("release", {"token": 0}),
    ("release", {"token": True}),
    ("release", {"token": 1.5}),
    ("release", {"token": "1"}),
    ("release", {"token": 2**53 + 1}),
    ("break", {"reason": ""}),
    ("break", {"reason": "   "}),
    ("break", {"path": ""}),
    ("break", {"path": ["a"]}),
    ("send", {"urgency": "loud"}),
    ("send", {"urgency": ["high"]}),
    ("send", {"ack_by_s": 0}),
    ("send", {"ack_by_s": 1e10}),
    ("send", {"ack_by_s": -1}),
    ("send", {"subject": "x" * 201}),
    ("send", {"thread": "a/b"}),
    ("send", {"body": "\udfff"}),
    ("send", {"body": 1}),
    ("handoff", {"action": "take"}),
    ("handoff", {"action": ["grant"]}),
    ("handoff", {"action": "grant", "agent": "planner", "paths": ["a"]}),
    ("handoff", {"wait_s_max": -1}),
    ("handoff", {"ttl_s": 0}),
]


@pytest.mark.parametrize(("name", "change"), WRONG)
def test_what_a_field_cannot_be_is_refused_and_changes_nothing(
    served: Served, board: Latchboard, name: str, change: dict[str, Any]
) -> None:
    served.post(f"/api/{name}", {**VALID[name], **change}).failed(400, "usage")
    assert board.store.read("wide").revision == 0


def test_a_field_that_comes_twice_is_refused_and_changes_nothing(served: Served, board: Latchboard) -> None:
    board.locks.acquire(board.locks.request("planner", ["a"], bound="agent"))
    body = b'{"agent": "builder", "agent": "planner", "all": true}'
    answer = served.ask("POST", "/api/release", body, headers={"Content-Type": "application/json"})

    assert "'agent' comes twice" in answer.failed(400, "usage")["message"]
    assert len(board.board.read()["active_locks"]) == 1


def test_a_limit_that_is_none_is_not_told(served: Served) -> None:
    answer = served.post("/api/release", {"agent": "planner", "paths": [""]})
    assert answer.failed(400, "usage")["message"] == "each of paths of the body has 0 characters; it has at least 1"


def test_infinity_is_no_number(served: Served) -> None:
    text = b'{"agent": "operator", "to": "planner", "body": "x", "ack_by_s": 1e999}'
    served.ask("POST", "/api/send", text, headers={"Content-Type": "application/json"}).failed(400, "usage")


def test_numbers_that_say_the_same_are_the_same(served: Served, board: Latchboard) -> None:
    token = held(board, "planner", "src/a.py")[0]["token"]
    text = json.dumps({"agent": "planner", "paths": ["src/a.py"]})[:-1] + f', "token": {token}.0}}'

    answer = served.ask("POST", "/api/release", text.encode(), headers={"Content-Type": "application/json"})

    assert answer.held_to("release")["released"] == ["src/a.py"]


def test_a_body_that_does_not_come_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_S", 0.2)
    head = (
        f"POST /api/stop HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )

    assert served.raw(head.encode()).startswith(b"HTTP/1.1 408 ")


# -- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"), [(StoreBusy("busy"), 503), (StoreFull("full"), 507), (StoreError("broken"), 500)]
)
def test_trouble_with_the_store_is_told_as_that(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch, error: StoreError, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(board.store, "transact", fail)

    answer = served.post("/api/send", VALID["send"])
    answer.failed(status, error.code)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_mistake_of_our_own_is_told_without_its_inside(
    served: Served, board: Latchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("the inside")

    monkeypatch.setattr(board.board, "text", fail)

    assert "inside" not in str(served.get("/api/board").failed(500, "internal"))
    monkeypatch.undo()
    assert served.get("/api/board").status == 200


def test_what_bodies_are_held_to_is_what_the_document_says() -> None:
    for name in openapi.POSTS:
        schema = openapi.schema(f"post-{name}")
        assert all(one["additionalProperties"] is False for one in schema.get("oneOf", [schema]))
    assert WAIT_S_MAX > body.BODY_S
