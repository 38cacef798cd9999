"""Worker: names, what a command finds, what is kept of what it wrote, and who gets no worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latchboard.codec import encode
from latchboard.errors import UsageError
from latchboard.rules import singleton, worker_role
from latchboard.rules import worker as rules
from latchboard.rules.workqueue_job import check_data

LEASE: Any = {"task_id": "a", "owner": "worker.builder.2", "role": "builder", "token": 7}


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("worker.builder.1", ("builder", 1)),
        ("worker.x-y_2.1000", ("x-y_2", 1000)),
        ("worker.builder.1001", None),
        ("worker.builder.01", None),
        ("worker.builder.0", None),
        ("worker.builder.", None),
        ("worker.builder", None),
        ("worker..1", None),
        ("worker.Builder.1", None),
        ("worker.builder.99999", None),
        ("builder.1", None),
        ("worker.builder.\u0661", None),
    ],
)
def test_a_name_says_role_and_number(name: str, expect: tuple[str, int] | None) -> None:
    found = rules.parse_name(name)

    assert found == expect
    if found:
        assert rules.name(*found) == name
        assert singleton.check_type(name) == name
        assert singleton.is_restricted(name, ())


def test_a_command_finds_its_job_and_nothing_of_its_worker() -> None:
    inherited = {"PATH": "/bin", "AGENT_ID": "lead", "LATCHBOARD_JOB": "another", "NOTIFY_SOCKET": "/x"}

    found = rules.environment({"id": "a", "n": 1}, LEASE, "/root", inherited, {"PATH": "/opt", "B": "2"})  # type: ignore[typeddict-item,typeddict-unknown-key]

    assert found == {
        "PATH": "/opt",
        "B": "2",
        "AGENT_ID": "worker.builder.2",
        "LATCHBOARD_ROOT": "/root",
        "LATCHBOARD_ROLE": "builder",
        "LATCHBOARD_JOB_ID": "a",
        "LATCHBOARD_TOKEN": "7",
        "LATCHBOARD_JOB": '{"id":"a","n":1}',
    }


def test_a_long_job_is_on_standard_input_alone() -> None:
    at_most: Any = {"id": "a", "payload": ""}
    at_most["payload"] = "x" * (rules.JOB_IN_ENVIRONMENT_BYTES_MAX - len(encode(at_most)))
    one_more: Any = {**at_most, "payload": at_most["payload"] + "x"}

    assert "LATCHBOARD_JOB" in rules.environment(at_most, LEASE, "/", {}, {})
    assert "LATCHBOARD_JOB" not in rules.environment(one_more, LEASE, "/", {"LATCHBOARD_JOB": "another"}, {})


def test_what_became_of_a_claim() -> None:
    job = {"token": 9, "attempts": [{"token": 7, "outcome": "failed"}, {"token": 8, "outcome": "expired"}]}

    assert [rules.outcome(job, token) for token in (9, 8, 7, 6)] == ["", "expired", "failed", "unknown"]


@pytest.mark.parametrize(
    ("end", "expect"),
    [
        ({"exit_code": 3}, "exit status 3"),
        ({"signal": 9}, "died of signal 9"),
        ({}, "was ended with its keeper"),
        ({"signal": 9, "why": "timeout", "timeout_s": 0.5}, "ran too long, for more than 0.5 s, and was ended"),
    ],
)
def test_how_a_command_ended_in_words(end: dict[str, Any], expect: str) -> None:
    assert rules.End(**end).how == expect


def test_the_error_has_the_end_of_the_output() -> None:
    end = rules.End(exit_code=2, duration_s=1.24, output=b"x" * 5000 + b"\nthe reason\n", output_bytes=5012)

    text = rules.error(end)

    assert text.startswith("exit status 2 after 1.2 s\nxxx")
    assert text.endswith("\nthe reason")
    assert len(text) <= rules.ERROR_OUTPUT_CHARS_MAX + 100
    assert rules.error(rules.End(exit_code=2)) == "exit status 2 after 0.0 s"


@pytest.mark.parametrize(
    ("output", "output_bytes", "expect", "is_cut"),
    [
        (b"ok\n", 3, "ok\n", False),
        (b"\xff\xfe ok", 5, "\ufffd\ufffd ok", False),
        ("ü".encode()[1:] + b"ok", 4, "ok", True),
        (b"\x80\x80\x80\x80\x80", 9, "\ufffd" * 5, True),
        (b"", 9, "", True),
    ],
)
def test_the_output_is_text_whatever_it_is(output: bytes, output_bytes: int, expect: str, is_cut: bool) -> None:
    found = rules.result(rules.End(exit_code=0, output=output, output_bytes=output_bytes))

    assert (found["output"], found["is_cut"], found["output_bytes"]) == (expect, is_cut, output_bytes)


@pytest.mark.parametrize("piece", [b"\0", b"\xff", b"a", "\U0001f600".encode()])
def test_a_result_can_be_kept_whatever_was_written(piece: bytes) -> None:
    output = piece * (worker_role.OUTPUT_BYTES_MAX // len(piece))

    found = rules.result(rules.End(exit_code=0, output=output, output_bytes=len(output)))

    check_data("result", found)
    assert found["is_cut"] == (piece in (b"\0", b"\xff"))
    json.loads(encode(found))


def test_a_role_without_a_command_has_no_worker() -> None:
    with pytest.raises(UsageError, match="no command for the role tester") as caught:
        worker_role.read("tester", {"builder": {"command": ["x"]}})

    assert "[roles.tester]" in caught.value.hint
    assert worker_role.read("builder", {"builder": {"command": ["x"], "grace_s": 5}}).stop_s == 15


@pytest.mark.parametrize("tables", [{}, {"builder": {"grace_s": "x"}}, {"tester": {"grace_s": 5}}])
def test_who_does_not_know_how_long_a_drain_takes_waits_for_the_longest(tables: Any) -> None:
    """A worker that runs had a command when it was started: its table is gone, or another one."""
    assert worker_role.stop_s_of("builder", tables) == 610.0
    assert worker_role.stop_s_of("builder", {"builder": {"grace_s": 5}}) == 15.0


def test_a_role_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="a role is"):
        worker_role.read("Builder", {})


def test_a_prompt_has_a_length() -> None:
    longest = "x" * worker_role.PROMPT_CHARS_MAX

    assert longest in worker_role.Role("builder", {"template": "claude", "prompt": longest}).command
    with pytest.raises(UsageError, match="prompt is 1 to"):
        worker_role.Role("builder", {"template": "claude", "prompt": longest + "x"})


@pytest.mark.parametrize("role", ["planner", "builder", "tester", "refiner", "integrator", "painter"])
@pytest.mark.parametrize("name", worker_role.TEMPLATES)
def test_each_template_tells_each_role_who_it_is(name: str, role: str) -> None:
    command = worker_role.Role(role, {"template": name}).command

    assert command[0] == name
    assert role in command[command.index(worker_role.prompt_of(role))]
    assert "{prompt}" not in command
