"""When a hook cannot do its work: what it cannot read counts as held, and nothing is blocked by accident."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from latchboard.settings import Settings
from latchboard.surface.hooks import failing
from latchboard.surface.hooks.event import Event
from latchboard.surface.hooks.project import Place
from tests.surface.hooks.hooked import Done, Hooked


def store(hooked: Hooked) -> Path:
    return hooked.root / "data/.agent_locks"


def spoil_format(hooked: Hooked) -> None:
    (store(hooked) / "FORMAT").write_text('{"format": 99, "store_id": "x"}\n')


def spoil_guard(hooked: Hooked) -> None:
    (store(hooked) / "journal/guard").unlink()
    (store(hooked) / "journal/guard").mkdir()


def spoil_record(hooked: Hooked) -> None:
    next(store(hooked).glob("src__a.py-*.lock")).write_bytes(b"\x00\xff")


def replace_by_a_link(hooked: Hooked) -> None:
    store(hooked).rename(hooked.root / "elsewhere")
    store(hooked).symlink_to(hooked.root / "elsewhere")


SPOILERS = [spoil_format, spoil_guard, spoil_record, replace_by_a_link]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_what_cannot_be_read_counts_as_held(hooked: Hooked, spoil: Any) -> None:
    hooked.edit(session="other")
    spoil(hooked)

    done = hooked.edit()

    assert done.is_denied
    assert (done.status, done.err) == (0, "")
    assert done.denial is not None
    assert "what cannot be told counts as held" in done.denial
    assert "hooks_failure" in done.denial


@pytest.mark.parametrize("spoil", SPOILERS)
def test_with_the_setting_open_the_call_goes_on_and_the_person_is_told(hooked: Hooked, spoil: Any) -> None:
    hooked.edit(session="other")
    spoil(hooked)
    hooked.environ = {"LATCHBOARD_HOOKS_FAILURE": "open"}

    done = hooked.edit()

    assert (done.status, done.err, done.special) == (0, "", {})
    assert done.json["systemMessage"].startswith("latchboard: this call was not looked at: ")


def test_the_line_for_the_person_says_what_to_do(hooked: Hooked) -> None:
    hooked.environ = {"LATCHBOARD_STORE": "etcds://127.0.0.1:1/p", "LATCHBOARD_ETCD_CA": "/nowhere"}

    done = hooked.edit(after=True)

    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "the certificates cannot be used" in done.err
    assert "check LATCHBOARD_ETCD_CA" in done.err


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize(
    "name", ["SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SubagentStop", "SessionEnd"]
)
def test_other_events_never_block(hooked: Hooked, spoil: Any, name: str) -> None:
    hooked.edit(session="other")
    spoil(hooked)

    done = hooked.fire(hooked.event(name, tool_name="Read", tool_input={}))

    assert done.status in (0, 1)
    assert b"deny" not in done.out
    assert b"block" not in done.out
    assert "Traceback" not in done.err


def test_a_file_that_nobody_has_is_free_beside_a_record_that_cannot_be_read(hooked: Hooked) -> None:
    hooked.edit(session="other")
    spoil_record(hooked)

    assert hooked.edit("src/b.py").said_nothing


@pytest.mark.parametrize(
    ("line", "is_held", "is_denied"), [("x = ", True, True), ("x = ", False, False), ("no_such = 1", True, True)]
)
def test_settings_that_cannot_be_read_deny_only_what_another_agent_has(
    hooked: Hooked, line: str, is_held: bool, is_denied: bool
) -> None:
    hooked.edit("src/a.py" if is_held else "src/b.py", session="other")
    (hooked.root / "latchboard.toml").write_text(line + "\n")

    done = hooked.edit()

    assert done.is_denied == is_denied
    assert done.status == 0  # a client that is told to block what fails must not block this
    assert not hooked.edit("latchboard.toml").is_denied  # it must be possible to mend it


def test_the_agents_own_record_does_not_keep_it_from_mending_its_settings(hooked: Hooked) -> None:
    hooked.edit("latchboard.toml")
    (hooked.root / "latchboard.toml").write_text("x = ")

    done = hooked.edit("latchboard.toml")
    assert (done.status, done.special) == (0, {})
    assert "is no TOML" in done.json["systemMessage"]


# -- a full disk -----------------------------------------------------------------------------------------------------


def full(hooked: Hooked, event: dict[str, Any]) -> Done:
    """As on a disk that takes no more bytes: what cannot grow a file meets the same refusal at the same places."""
    return hooked.fire(event, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))


def test_on_a_full_disk_an_edit_is_denied_and_nothing_is_taken(hooked: Hooked) -> None:
    hooked.edit("src/b.py", session="other")
    before = (store(hooked) / "journal/guard").read_bytes()

    done = full(
        hooked, hooked.event("PreToolUse", tool_name="Write", tool_input={"file_path": f"{hooked.root}/src/a.py"})
    )

    assert done.is_denied
    assert hooked.holder("src/a.py") is None
    assert (store(hooked) / "journal/guard").read_bytes() == before


def test_on_a_full_disk_a_shell_call_that_may_free_some_goes_on(hooked: Hooked) -> None:
    hooked.edit(session="other")

    done = full(hooked, hooked.event("PreToolUse", tool_name="Bash", tool_input={"command": "df"}))

    assert (done.status, done.special) == (0, {})


def unreadable_settings(hooked: Hooked) -> None:
    (hooked.root / "latchboard.toml").mkdir()


def wrong_settings(hooked: Hooked) -> None:
    (hooked.root / "latchboard.toml").write_text("hooks_release = 3\n")


@pytest.mark.parametrize("spoil", [unreadable_settings, wrong_settings])
def test_without_settings_only_what_may_be_anothers_is_denied(hooked: Hooked, spoil: Any) -> None:
    hooked.edit(session="other")
    spoil(hooked)

    assert hooked.edit().is_denied
    for done in (hooked.edit("src/b.py"), hooked.shell("ls")):
        assert (done.status, done.err, done.special) == (0, "", {})
        assert "was not looked at" in done.json["systemMessage"]


# -- time ------------------------------------------------------------------------------------------------------------


class Stopped:
    """Somebody who is stopped in the middle of a commit."""

    def __init__(self, hooked: Hooked) -> None:
        self._fd = os.open(store(hooked) / "journal/guard", os.O_RDWR)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def test_a_guard_that_is_not_free_denies_when_the_wait_is_over_and_names_who_has_it(hooked: Hooked) -> None:
    hooked.edit("src/b.py")
    hooked.environ = {"LATCHBOARD_GUARD_WAIT_S_MAX": "0.3"}

    with Stopped(hooked):
        done = hooked.edit()

    assert done.denial is not None
    assert f"process {os.getpid()} has it" in done.denial


@pytest.mark.parametrize("what", ["edit", "shell"])
def test_the_guard_is_waited_for_once(hooked: Hooked, what: str) -> None:
    """Where a busy machine adds as much as a second wait would, it is made longer."""
    hooked.edit("src/b.py")
    waits = 0.0
    for wait_s in (1.5, 6.0, 12.0):
        hooked.environ = {"LATCHBOARD_GUARD_WAIT_S_MAX": str(wait_s)}
        with Stopped(hooked):
            began = time.monotonic()
            done = hooked.edit() if what == "edit" else hooked.shell("echo x > src/a.py")
            waits = (time.monotonic() - began) / wait_s

        assert done.is_denied
        if waits < 1.9:
            break

    assert waits < 1.9


def test_the_end_of_a_session_ends_before_the_client_loses_its_patience(hooked: Hooked) -> None:
    """Of several, for a busy machine is late with some."""
    hooked.edit()
    took_s: list[float] = []

    while len(took_s) < 20 and not (took_s and min(took_s) < 1.5):
        with Stopped(hooked):
            began = time.monotonic()
            done = hooked.fire(hooked.event("SessionEnd", reason="other"))
            took_s.append(time.monotonic() - began)
        assert done.status == 1

    assert min(took_s) < 1.5


# -- a mistake of our own --------------------------------------------------------------------------------------------


def event(path: str, *, kind: Any = "before-edit", agent: str = "s1") -> Event:
    return Event("claude", kind, agent=agent, paths=(path,), name="PreToolUse")


@pytest.fixture
def place(hooked: Hooked) -> Place:
    hooked.edit(session="other")
    hooked.edit("src/b.py", session="s1")
    return Place(str(hooked.root), str(hooked.root))


@pytest.mark.parametrize(
    ("path", "is_denied"),
    [
        ("src/a.py", True),
        ("src/b.py", False),
        ("src/c.py", False),
        ("/tmp/x", False),
        ("../x", False),
        ("src/\0", False),
    ],
)
def test_a_mistake_of_our_own_denies_only_what_may_be_anothers(place: Place, path: str, is_denied: bool) -> None:
    outcome = failing.outcome(event(path), place, Settings(), RuntimeError("a mistake"))

    assert (outcome is not None) == is_denied
    if outcome is not None:
        assert outcome.denial is not None
        assert "RuntimeError: a mistake" in outcome.denial


def test_a_mistake_of_our_own_denies_where_the_record_cannot_be_read(hooked: Hooked, place: Place) -> None:
    spoil_record(hooked)

    assert failing.outcome(event("src/a.py"), place, Settings(), RuntimeError("x")) is not None


def test_a_mistake_of_our_own_denies_where_the_record_is_another_files(hooked: Hooked, place: Place) -> None:
    (record,) = store(hooked).glob("src__b.py-*.lock")
    record.write_text(record.read_text().replace('"name":"src/b.py"', '"name":"src/x.py"'))

    assert failing.outcome(event("src/b.py"), place, Settings(), RuntimeError("x")) is not None


@pytest.mark.parametrize("kind", ["before-shell", "after-edit", "turn-end", "session-start", "prompt"])
def test_a_mistake_of_our_own_denies_nothing_but_edits(place: Place, kind: str) -> None:
    assert failing.outcome(event("src/a.py", kind=kind), place, Settings(), RuntimeError("x")) is None


def test_a_mistake_of_our_own_denies_nothing_with_the_setting_open(place: Place) -> None:
    assert failing.outcome(event("src/a.py"), place, Settings(hooks_failure="open"), RuntimeError("x")) is None


def test_without_a_place_nothing_is_denied(place: Place) -> None:
    assert failing.outcome(event("src/a.py"), None, None, RuntimeError("x")) is None
