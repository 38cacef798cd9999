"""Agents of several clients on one repository, through the hook processes that their clients run; nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from tests.surface.hooks.strict import answer_fits_codex

pytestmark = pytest.mark.process


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "AGENT_ID"} | more


def start(client: str, root: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "latchboard.surface.hooks", client, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=root, env=environment(**env), text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def said(process: subprocess.Popen[str], payload: dict[str, Any] | str) -> tuple[str, str, int]:
    given = payload if isinstance(payload, str) else json.dumps(payload)
    out, err = process.communicate(given, timeout=60)
    return out, err, process.returncode


def codex(root: Path, agent: str, event: str, **fields: Any) -> tuple[str, str, int]:
    out, err, status = said(start("codex", root), codex_event(root, agent, event, **fields))
    if out:
        answer_fits_codex(event, out)
    return out, err, status


def codex_event(root: Path, agent: str, event: str, **fields: Any) -> dict[str, Any]:
    return {"session_id": agent, "cwd": str(root), "hook_event_name": event, **fields}


def apply_patch(root: Path, agent: str, *lines: str, event: str = "PreToolUse") -> tuple[str, str, int]:
    text = "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
    return codex(root, agent, event, tool_name="apply_patch", tool_input={"command": text})


def updates(names: Iterable[str]) -> list[str]:
    return [line for name in names for line in (f"*** Update File: {name}", "@@", "-1", "+2")]


def gemini(root: Path, agent: str, event: str, **fields: Any) -> tuple[str, str, int]:
    payload = {"session_id": agent, "cwd": str(root), "hook_event_name": event, **fields}
    return said(start("gemini", root), payload)


def gemini_writes(root: Path, agent: str, name: str) -> tuple[str, str, int]:
    return gemini(root, agent, "BeforeTool", tool_name="write_file", tool_input={"file_path": str(root / name)})


def cursor(root: Path, agent: str, event: str, client: str = "cursor", **fields: Any) -> tuple[str, str, int]:
    base = {"conversation_id": agent, "cursor_version": "3.15.6", "workspace_roots": [str(root)]}
    return said(start(client, root), {**base, "hook_event_name": event, **fields})


def cursor_writes(root: Path, agent: str, name: str, **more: Any) -> tuple[str, str, int]:
    arguments = {"tool_name": "Write", "tool_input": {"file_path": str(root / name)}}
    return cursor(root, agent, "preToolUse", **arguments, **more)


def held(root: Path) -> dict[str, str]:
    """Who holds what."""
    with closing(Latchboard(str(root))) as board:
        locks = dict(board.store.read("locks/").scan("locks/"))
    return {key.removeprefix("locks/"): lock["holders"][0]["agent"] for key, lock in locks.items() if lock["holders"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("1\n")
    return tmp_path


def test_a_patch_over_a_held_file_takes_nothing(root: Path) -> None:
    assert gemini_writes(root, "g", "b.py") == ("", "", 0)

    out, err, status = apply_patch(root, "x", *updates(["a.py", "b.py"]), "*** Add File: new.py", "+1")

    assert status == 2
    assert "g holds b.py" in err
    assert json.loads(out)["hookSpecificOutput"]["permissionDecisionReason"].strip() == err.strip()
    assert held(root) == {"b.py": "g"}


def test_what_one_turn_gives_back_the_next_agent_takes_whole(root: Path) -> None:
    gemini_writes(root, "g", "b.py")
    assert apply_patch(root, "x", *updates(["a.py", "b.py"]))[2] == 2

    assert gemini(root, "g", "AfterAgent", prompt="p", prompt_response="r") == ("", "", 0)

    assert apply_patch(root, "x", *updates(["a.py", "b.py"])) == ("", "", 0)
    assert held(root) == {"a.py": "x", "b.py": "x"}
    out, err, status = cursor_writes(root, "u", "a.py")
    assert (json.loads(out)["permission"], json.loads(out)["decision"], status) == ("deny", "deny", 2)
    assert "x holds a.py" in err
    assert codex(root, "x", "Stop") == ("", "", 0)
    assert cursor_writes(root, "u", "a.py") == ("{}", "", 0)
    assert held(root) == {"a.py": "u"}


@pytest.mark.parametrize(
    "lines",
    [
        ["*** Update File: a.py", "*** Move to: b.py", "@@", "-1", "+2"],
        ["*** Update File: b.py", "*** Move to: a.py", "@@", "-1", "+2"],
        ["*** Delete File: ./x/../b.py"],
        ["  *** Delete File: b.py\r"],
        [f"*** Add File: {'x' * 5000}", "+1", "*** Delete File: b.py"],
        ["*** Add File: ../outside", "+1", "*** Delete File: b.py"],
        ["*** Add File: \x1b[2J\u2028", "+1", "*** Delete File: b.py"],
    ],
    ids=[
        "moved onto",
        "moved away",
        "written otherwise",
        "indented",
        "a name too long",
        "outside",
        "control characters",
    ],
)
def test_a_held_file_is_found_in_every_kind_of_patch(root: Path, lines: list[str]) -> None:
    gemini_writes(root, "g", "b.py")

    assert apply_patch(root, "x", *lines)[2] == 2

    assert held(root) == {"b.py": "g"}


def test_a_patch_that_cannot_be_read_is_denied_although_nothing_is_held(root: Path) -> None:
    _, err, status = apply_patch(root, "x", *updates(["a.py"]), "*** Copy File: a.py -> b.py")

    assert status == 2
    assert "`*** Copy File: a.py -> b.py`" in err
    assert held(root) == {}


def test_a_patch_in_a_shell_call_is_an_edit(root: Path) -> None:
    gemini_writes(root, "g", "b.py")
    script = "apply_patch <<'EOF'\n*** Begin Patch\n*** Delete File: {}\n*** End Patch\nEOF"

    def shell(command: str) -> int:
        return codex(root, "x", "PreToolUse", tool_name="Bash", tool_input={"command": command})[2]

    assert shell(script.format("b.py")) == 2
    assert shell("true\n" + script.format("b.py")) == 2
    assert held(root) == {"b.py": "g"}
    assert shell("true\n" + script.format("a.py")) == 0
    assert held(root) == {"a.py": "x", "b.py": "g"}


def test_of_patches_at_the_same_time_one_takes_all_and_the_others_nothing(root: Path) -> None:
    names = [f"f{i}.py" for i in range(6)]
    hooks = [start("codex", root) for _ in range(6)]
    for number, hook in enumerate(hooks):  # each begins with another file, so that a half would be seen
        text = "\n".join(["*** Begin Patch", *updates(names[number:] + names[:number]), "*** End Patch"])
        event = codex_event(root, f"x{number}", "PreToolUse", tool_name="apply_patch", tool_input={"command": text})
        assert hook.stdin is not None
        hook.stdin.write(json.dumps(event))
    for hook in hooks:
        assert hook.stdin is not None
        hook.stdin.close()
        hook.stdin = None
    statuses = [hook.wait(60) for hook in hooks]
    for hook in hooks:
        hook.communicate()

    assert sorted(statuses) == [0, 2, 2, 2, 2, 2]
    assert held(root) == dict.fromkeys(names, f"x{statuses.index(0)}")


def test_mail_comes_with_the_first_answer_that_reaches_the_model_and_once(root: Path) -> None:
    with closing(Latchboard(str(root))) as board:
        board.mailbox.send("g", "u", "please keep off b.py")

    assert cursor(root, "u", "beforeSubmitPrompt", prompt="go") == ('{"continue":true}', "", 0)
    assert cursor(root, "u", "afterFileEdit", file_path=str(root / "a.py"), edits=[]) == ("{}", "", 0)
    out, _, _ = cursor(root, "u", "postToolUse", tool_name="Read", tool_input={"file_path": "a.py"})
    assert "please keep off b.py" in json.loads(out)["additional_context"]
    assert cursor(root, "u", "postToolUse", tool_name="Read", tool_input={"file_path": "a.py"})[0] == "{}"


def test_cursor_has_a_verdict_for_every_call_wherever_it_is(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.mktemp("nowhere")

    for folder in (root, nowhere):
        assert cursor(folder, "u", "preToolUse", tool_name="Read", tool_input={}) == ("{}", "", 0)
        assert cursor_writes(folder, "u", "a.py") == ("{}", "", 0)


def test_cursor_that_runs_the_hooks_of_claude_code_as_well_does_not_deny_itself(root: Path) -> None:
    for client in ("cursor", "claude", "cursor"):
        assert cursor_writes(root, "u", "a.py", client=client, session_id="another")[2] == 0

    assert held(root) == {"a.py": "u"}
    for client in ("cursor", "claude"):
        assert cursor_writes(root, "v", "a.py", client=client, session_id="another")[2] == 2


def test_cursor_tells_of_one_shell_call_four_times_and_it_is_one(root: Path) -> None:
    gemini_writes(root, "g", "b.py")
    tool = {"tool_name": "Shell", "tool_input": {"command": "make"}, "cwd": str(root)}
    shell = {"command": "make", "cwd": str(root)}

    assert cursor(root, "u", "preToolUse", **tool)[2] == 0
    assert cursor(root, "u", "beforeShellExecution", **shell) == ("{}", "", 0)
    (root / "b.py").write_text("3\n")  # what make did
    assert cursor(root, "u", "afterShellExecution", **shell) == ("{}", "", 0)
    out, _, _ = cursor(root, "u", "postToolUse", **tool)

    assert "b.py" in json.loads(out)["additional_context"]
    assert cursor(root, "u", "postToolUse", **tool)[0] == "{}"
    out, _, _ = gemini(root, "g", "AfterTool", tool_name="read_file", tool_input={})
    assert json.loads(out)["hookSpecificOutput"]["additionalContext"].count("b.py") >= 1


def test_an_edit_that_cursor_tells_of_thrice_is_no_change_by_somebody_else(root: Path) -> None:
    edit = {"tool_name": "Write", "tool_input": {"file_path": str(root / "a.py")}, "cwd": str(root)}
    for content in ("2\n", "3\n"):
        assert cursor(root, "u", "preToolUse", **edit)[2] == 0
        (root / "a.py").write_text(content)
        cursor(root, "u", "afterFileEdit", file_path=str(root / "a.py"), edits=[])
        assert cursor(root, "u", "postToolUse", **edit)[0] == "{}"

    for event in ("PreToolUse", "PostToolUse"):
        assert codex(root, "x", event, tool_name="Bash", tool_input={"command": "make"}) == ("", "", 0)


def test_aider_claims_what_it_wrote_and_is_told_of_what_was_another_s(root: Path) -> None:
    gemini_writes(root, "g", "b.py")

    assert said(start("aider", root, "a.py", AGENT_ID="aider-1"), "") == ("", "", 0)
    (root / "a.py").write_text("2\n")
    assert said(start("aider", root, "a.py", AGENT_ID="aider-1"), "") == ("", "", 0)
    for event in ("PreToolUse", "PostToolUse"):  # its own edits are no change by somebody else
        assert codex(root, "x", event, tool_name="Bash", tool_input={"command": "make"}) == ("", "", 0)
    out, err, status = said(start("aider", root, "b.py", AGENT_ID="aider-1"), "")

    assert held(root) == {"a.py": "aider-1", "b.py": "g"}
    assert (err, status) == ("", 1)
    assert out.startswith("b.py has been written although another agent holds it.")
    assert "g holds b.py" in out
    assert "Nothing was written" not in out
    assert "AGENT_ID" in said(start("aider", root, "a.py"), "")[1]


def test_aider_under_latchboard_run_edits_what_was_held_for_it(root: Path) -> None:
    hook = f"{sys.executable} -m latchboard.surface.hooks aider"
    aider = f"echo 2 > a.py; {hook} a.py && echo 2 > c.py && {hook} c.py"
    command = [sys.executable, "-m", "latchboard", "run", "a.py", "--agent", "aider-1", "--", "sh", "-c", aider]

    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert held(root) == {"c.py": "aider-1"}


@pytest.mark.parametrize("client", ["codex", "gemini", "cursor"])
@pytest.mark.parametrize("given", ["", "{", "[]", '{"hook_event_name": 1}', "\x00", '{"hook_event_name": "Stop"}'])
def test_what_is_no_event_blocks_nothing(root: Path, client: str, given: str) -> None:
    gemini_writes(root, "g", "b.py")

    out, err, status = said(start(client, root), given)

    assert (out, status) == ("", 1)
    assert err.count("\n") == 1
    assert err.startswith("latchboard-hook: ")
    assert held(root) == {"b.py": "g"}
