"""Bad input: it blocks nothing, takes nothing, says one clear line, and ends in time with status 1."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.surface.hooks.hooked import TIMEOUT_S, Done, Hooked

LONGEST_S = 10.0
"""Of any hook here, of the processor's time: a machine does other things too. Clients give one 30 s and more."""


def spent_s() -> float:
    """By the hooks of this process, so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def is_refused(done: Done, *words: str) -> None:
    assert (done.status, done.out) == (1, b"")
    assert done.err.startswith("latchboard-hook: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    "data",
    [
        b"", b"  \n", b"{", b"null", b"[]", b'"x"', b"1", b"{}{}", b"not json", b"\x00", b"\xff\xfe{\x00}\x00",
        b'{"hook_event_name": "PreToolUse"', b'{"a": \xff}', b'{"a": "\xc3"}', b"[" * 200_000, b'{"a":' * 200_000,
        b'{"hello": "world"}', b'{"jsonrpc": "2.0", "id": 1, "method": "initialize"}', b'{"hook_event_name": ""}',
        b'{"hook_event_name": "Stop"}', b'{"hook_event_name": 7, "session_id": "s"}',
        b'{"hook_event_name": "Stop", "session_id": ["s"]}', b'{"hook_event_name": "Stop", "session_id": "\\n"}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(hooked: Hooked, data: bytes) -> None:
    is_refused(hooked.fire(data), "this is no event of claude")
    assert not (hooked.root / "data").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_input": None},
        {"tool_input": []},
        {"tool_input": "x"},
        {"tool_input": {}},
        {"tool_input": {"file_path": 1}},
        {"tool_input": {"file_path": None}},
        {"tool_input": {"file_path": ""}},
        {"tool_input": {"file_path": ["/x"]}},
        {"tool_name": 1},
        {"tool_name": {}},
        {"cwd": 1},
        {"cwd": {}},
        {"agent_id": 1},
        {"session_id": {}},
    ],
)
def test_a_field_of_a_wrong_type_is_refused(hooked: Hooked, fields: dict[str, Any]) -> None:
    event = hooked.event("PreToolUse", tool_name="Edit", tool_input={"file_path": f"{hooked.root}/src/a.py"})

    is_refused(hooked.fire({**event, **fields}), "this is no event of claude")
    assert not (hooked.root / "data").exists()


@pytest.mark.parametrize("cwd", [None, "", "/does/not/exist", "relative"])
def test_a_folder_that_is_not_there_is_made_up_for_by_the_process_own(hooked: Hooked, cwd: str | None) -> None:
    hooked.environ = {"CLAUDE_PROJECT_DIR": str(hooked.root)}

    done = hooked.edit(cwd=cwd)

    assert done.said_nothing
    assert hooked.holder("src/a.py") == "s1"


@pytest.mark.parametrize("path", ["src/a\0.py", "src/\ud800.py", "x" * 5000, "y/" * 3000])
def test_a_path_that_can_be_no_files_is_told_and_not_denied(hooked: Hooked, path: str) -> None:
    done = hooked.edit(path)

    assert (done.status, done.err, done.special) == (0, "", {})
    assert "not locked" in done.json["systemMessage"]


def test_a_name_that_is_too_long_for_the_disk_is_not_denied(hooked: Hooked) -> None:
    name = f"src/{'x' * 300}.py"

    assert hooked.edit(name).said_nothing
    assert hooked.edit(name, after=True).said_nothing
    assert hooked.edit(name, "s2").is_denied


def test_a_name_that_is_no_text_on_the_disk_is_told_and_not_denied(hooked: Hooked) -> None:
    Path(hooked.root, "src/caf\udce9.py").write_text("x")

    done = hooked.edit("src/caf\udce9.py")

    assert (done.status, done.special) == (0, {})


def test_a_call_with_fifty_megabytes_takes_its_file_in_time(hooked: Hooked) -> None:
    tool_input = {"file_path": f"{hooked.root}/src/a.py", "content": "äx\\n" * (50 * 1024 * 1024 // 5)}
    data = json.dumps(hooked.event("PreToolUse", tool_name="Write", tool_input=tool_input), ensure_ascii=False).encode()
    assert len(data) > 50 * 1024 * 1024
    before_s = spent_s()

    done = hooked.fire(data)

    assert done.said_nothing
    assert hooked.holder("src/a.py") == "s1"
    assert spent_s() - before_s < LONGEST_S


def test_fifty_megabytes_of_nothing_are_refused_in_time(hooked: Hooked) -> None:
    before_s = spent_s()

    is_refused(hooked.fire(b"x" * 50 * 1024 * 1024))
    is_refused(hooked.fire(b"[" * 50 * 1024 * 1024))

    assert spent_s() - before_s < LONGEST_S


def test_more_than_an_event_can_be_is_refused_without_being_read_to_its_end(hooked: Hooked) -> None:
    endless = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.buffer.write(b' ' * 1000000)"]
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        process = hooked.start(stdin=source.stdout)
        out, err = process.communicate(timeout=TIMEOUT_S)
        source.kill()

    is_refused(Done(process.returncode, out, err), "longer than")


@pytest.mark.parametrize("arguments", [[], ["emacs"], ["--version"], ["claude "]])
def test_a_client_that_is_not_known_is_refused(hooked: Hooked, arguments: list[str]) -> None:
    done = subprocess.run(
        [*hooked.command()[:-1], *arguments], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("usage: latchboard-hook ")


def test_who_asks_for_help_gets_it(hooked: Hooked) -> None:
    done = subprocess.run(
        [*hooked.command()[:-1], "--help"], check=False, capture_output=True, stdin=subprocess.DEVNULL
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: ")


@pytest.mark.parametrize("client", ["claude", "codex", "gemini", "cursor"])
def test_every_client_refuses_what_is_no_event(hooked: Hooked, client: str) -> None:
    is_refused(hooked.fire(b'{"hello": 1}', client), f"this is no event of {client}")


@pytest.mark.parametrize(("setting", "is_denied"), [("closed", True), ("open", False)])
def test_an_edit_that_names_no_file_is_denied_unless_failures_are_open(
    hooked: Hooked, setting: str, is_denied: bool
) -> None:
    hooked.environ = {"LATCHBOARD_HOOKS_FAILURE": setting}
    event = hooked.event("BeforeTool", tool_name="write_file", tool_input={"content": "x"})

    done = hooked.fire(event, "gemini")

    assert (done.status == 2, b'"deny"' in done.out, "names no file" in done.err) == (is_denied,) * 3
