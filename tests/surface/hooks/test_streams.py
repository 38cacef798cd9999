"""What a hook reads and writes, where its client does not give it that as it should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.surface.hooks.hooked import TIMEOUT_S, Hooked
from tests.surface.hooks.test_failing import Stopped

WAIT_S = 0.5
IMPATIENT = (
    "import sys; from latchboard.surface.hooks import entry; "
    f"entry.INPUT_WAIT_S_MAX = {WAIT_S}; sys.argv[1:] = ['claude']; entry.handle_and_exit()"
)


def stored(root: Path) -> dict[str, bytes]:
    """Every file of the store."""
    folder = root / "data/.agent_locks"
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def call(hooked: Hooked, path: str, session: str) -> dict[str, object]:
    tool_input = {"file_path": f"{hooked.root}/{path}"}
    return hooked.event("PreToolUse", session, tool_name="Edit", tool_input=tool_input)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("name", ["PreToolUse", "UserPromptSubmit", "Stop", "Nothing"])
def test_what_a_hook_says_is_never_written_into_the_store(hooked: Hooked, closed: str, name: str) -> None:
    hooked.edit(session="other")
    hooked.board.mailbox.send("other", "s1", "a word that is said")
    event = {**call(hooked, "src/a.py", "s1"), "hook_event_name": name}
    (hooked.root / "event").write_text(json.dumps(event) if name != "Nothing" else "{")
    command = " ".join([*hooked.command(), "<event", closed])

    with hooked.start(stdin=subprocess.DEVNULL, args=["sh", "-c", command]) as process:
        status = process.wait(TIMEOUT_S)

    assert status in (0, 1)
    assert not [path for path, data in stored(hooked.root).items() if b"latchboard" in data and "guard" in path]
    assert not [path for path, data in stored(hooked.root).items() if b"hookSpecificOutput" in data]
    assert hooked.holder("src/a.py") == "other"


def test_mail_to_a_client_that_hears_nothing_stays_unread(hooked: Hooked) -> None:
    hooked.board.mailbox.send("other", "s1", "a word that is said")
    (hooked.root / "event").write_text(json.dumps(hooked.event("UserPromptSubmit", prompt="go on")))
    command = " ".join([*hooked.command(), "<event", ">&-"])

    with hooked.start(stdin=subprocess.DEVNULL, args=["sh", "-c", command]) as process:
        process.wait(TIMEOUT_S)

    assert "a word that is said" in hooked.fire(hooked.event("UserPromptSubmit", prompt="go on")).context


@pytest.mark.parametrize(("missing", "status"), [(0, 0), (1, 1)])
def test_a_client_that_does_not_close_its_end_is_not_waited_for_for_ever(
    hooked: Hooked, missing: int, status: int
) -> None:
    hooked.edit(session="other")
    data = json.dumps(call(hooked, "src/a.py", "s1")).encode()
    with hooked.start(args=[sys.executable, "-c", IMPATIENT]) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(data[: len(data) - missing])
            process.stdin.flush()
            ended, answer = process.wait(TIMEOUT_S), process.stdout.read()
        finally:
            process.kill()

    assert ended == status
    assert (b'"deny"' in answer) == (not missing)


def test_an_event_that_came_in_time_may_take_its_time(hooked: Hooked) -> None:
    hooked.edit(session="other")
    hooked.environ = {"LATCHBOARD_GUARD_WAIT_S_MAX": str(3 * WAIT_S)}

    with Stopped(hooked):
        done = hooked.fire(call(hooked, "src/a.py", "s1"), args=[sys.executable, "-c", IMPATIENT])

    assert f"was not free within {3 * WAIT_S:g} s" in (done.denial or "")
