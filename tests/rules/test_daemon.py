"""Whose daemon a process is, who is spared, what enforcement may do, and the generated file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import daemon

ROOT = "/srv/project"
ARGV = ["/usr/bin/python3", "-m", "latchboard", "serve", "--root", ROOT]
IDENTITY = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 4242, "start": 99}
HARD: Any = [{"indicator": "/.dockerenv", "points": 3, "is_hard": True}]
SOFT: Any = [{"indicator": "CLAUDECODE=1", "points": 3, "is_hard": False}]


def process(**changed: Any) -> Any:
    return {"identity": IDENTITY, "parent": 1, "uid": 1000, "argv": ARGV, "exe": "/usr/bin/python3.11", **changed}


def why(found: Any, **changed: Any) -> str:
    given = {"verdict": "live", "root": "1-2", "folder": "1-2", "recorded": None, **changed}
    asker = given.pop("asker", process(argv=["sh"]))
    return daemon.why_not_ours(found, asker, **given)


# -- the command line


@pytest.mark.parametrize(
    "argv",
    [
        ARGV,
        ["python", *ARGV[1:]],
        ["/Frameworks/Python", *ARGV[1:]],
        ["pypy3.11", *ARGV[1:]],
        ["python3.13t", *ARGV[1:]],
        [ARGV[0], "-I", "-X", "dev", "-u", *ARGV[1:]],
        [*ARGV, "--port", "9400", "--foreground"],
    ],
)
def test_command_line_of_a_daemon_names_its_root(argv: list[str]) -> None:
    assert daemon.root_in(argv) == ROOT


def test_command_that_we_start_is_the_one_that_we_know() -> None:
    assert daemon.root_in(daemon.command("/usr/bin/python3.12", ROOT, ["--port", "9400"])) == ROOT
    assert daemon.root_in(daemon.command("/usr/bin/python3.12", "/")) == "/"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["vim", *ARGV[1:]],
        ["vim", *ARGV],
        ["python3-config", *ARGV[1:]],
        ["pythonic", *ARGV[1:]],
        ARGV[:5],
        ARGV[:1],
        [ARGV[0], "-X"],
        [ARGV[0], "-c", "x", *ARGV[1:]],
        [ARGV[0], "script.py", *ARGV[1:]],
        [ARGV[0], "-m", "pytest", "latchboard", "serve", "--root", ROOT],
        [ARGV[0], "-m", "latchboard", "watch", "--root", ROOT],
        [ARGV[0], "-m", "latchboard", "serve", f"--root={ROOT}"],
        [ARGV[0], "-m", "latchboard", "serve", "--port", "1", "--root", ROOT],
        [" ".join(ARGV)],
        [*ARGV, "--root", "/srv/other"],
        [*ARGV, "--root=/srv/other"],
        [*ARGV[:5], "project"],
        [*ARGV[:5], ""],
        [*ARGV[:5], f"{ROOT}/"],
        [*ARGV[:5], "/srv/../srv/project"],
        [*ARGV[:5], "/srv/./project"],
        [*ARGV[:5], "//srv/project"],
    ],
)
def test_any_other_command_line_is_none_of_ours(argv: list[str]) -> None:
    assert daemon.root_in(argv) is None


@given(st.lists(st.sampled_from([*ARGV, "-I", "-X", "-c", "", "x"]), max_size=9))
def test_whatever_is_taken_for_ours_has_our_words_in_one_piece(argv: list[str]) -> None:
    if daemon.root_in(argv) is not None:
        assert "\0".join(ARGV[1:]) in "\0".join(argv)


# -- whose it is


def test_ours_is_ours() -> None:
    assert why(process()) == ""
    assert why(process(), recorded=IDENTITY) == ""
    assert why(process(), recorded={**IDENTITY, "host": "renamed"}) == ""


@pytest.mark.parametrize(
    ("found", "changed", "reason"),
    [
        (None, {}, "dead"),
        (process(), {"verdict": "dead"}, "dead"),
        (process(), {"verdict": "recycled"}, "recycled"),
        (process(), {"recorded": {**IDENTITY, "start": 98}}, "recycled"),
        (process(), {"recorded": {**IDENTITY, "boot": "a"}}, "recycled"),
        (process(), {"recorded": "garbage"}, "recycled"),
        (process(), {"verdict": "unknowable"}, "unknowable"),
        (process(argv=[]), {}, "unreadable"),
        (process(argv=["vim"]), {}, "other-program"),
        (process(uid=None), {}, "unreadable"),
        (process(), {"asker": process(uid=None)}, "unreadable"),
        (process(uid=0), {}, "other-user"),
        (process(), {"asker": process(uid=0)}, "other-user"),
        (process(exe=""), {}, "unreadable"),
        (process(exe="/usr/bin/vim"), {}, "other-program"),
        (process(exe="/usr/bin/python3.11 (deleted)"), {}, ""),
        (process(), {"root": ""}, "unreadable"),
        (process(), {"folder": ""}, "unreadable"),
        (process(), {"folder": "1-3"}, "other-project"),
    ],
)
def test_reason_for_not_being_ours(found: Any, changed: dict[str, Any], reason: str) -> None:
    assert why(found, **changed) == reason


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("", "running"),
        ("dead", "stale"),
        ("recycled", "stale"),
        ("other-program", "stale"),
        ("other-project", "stale"),
        ("garbage", "stale"),
        ("unknowable", "unknowable"),
        ("unreadable", "unknowable"),
        ("other-user", "unknowable"),
    ],
)
def test_record_is_stale_only_when_that_is_proven(reason: str, state: str) -> None:
    assert daemon.state_of(reason) == state


# -- what may be done


@pytest.mark.parametrize(
    ("pid", "spared"), [(10, "itself"), (1, "init"), (0, "init"), (20, "ancestor"), (30, "recorded"), (40, "")]
)
def test_who_is_spared(pid: int, spared: str) -> None:
    assert daemon.why_spared(pid, asker_pid=10, ancestors={20}, recorded_pid=30) == spared


@pytest.mark.parametrize(
    ("is_on", "listed", "mode"),
    [
        (False, HARD, "off"),
        (True, [], "host"),
        (True, SOFT, "host"),
        (True, HARD, "container"),
        (True, SOFT + HARD, "container"),
        (True, [{"indicator": "x", "points": 2, "is_hard": True}], "host"),
    ],
)
def test_ending_needs_the_option_and_hard_evidence(is_on: bool, listed: Any, mode: str) -> None:
    assert daemon.mode(is_on, listed) == mode


@pytest.mark.parametrize(
    ("parents", "is_asker_daemon", "spared"),
    [({30, 1}, False, "child"), ({10, 1}, True, "child"), ({10, 1}, False, ""), ({99, 1}, True, ""), ((), True, "")],
)
def test_what_a_daemon_that_stays_has_forked_stays(parents: Any, is_asker_daemon: bool, spared: str) -> None:
    found = daemon.why_spared(
        40, asker_pid=10, ancestors={20}, recorded_pid=30, parents=parents, is_asker_daemon=is_asker_daemon
    )

    assert found == spared


# -- the generated file


def value_in(text: str) -> Any:
    return tomllib.loads(text).get(daemon.OPTION)


def test_container_gets_an_active_line_and_a_host_an_explained_comment() -> None:
    in_container = daemon.configure("", is_set=False, is_container=True)
    on_host = daemon.configure("", is_set=False, is_container=False)

    assert value_in(in_container) is True
    assert f"\n{daemon.OPTION} = true\n" in in_container
    assert value_in(on_host) is None
    assert f"\n# {daemon.OPTION} = true\n" in on_host
    assert "nothing is ever ended" in on_host


@pytest.mark.parametrize("value", ["true", "false"])
@pytest.mark.parametrize("is_container", [True, False])
def test_users_word_stays(value: str, is_container: bool) -> None:
    text = f"lease_ttl_s = 7200\n{daemon.OPTION} = {value}\n"

    assert daemon.configure(text, is_set=True, is_container=is_container) == text


def test_again_changes_nothing_and_a_move_into_a_container_does() -> None:
    on_host = daemon.configure("lease_ttl_s = 7200", is_set=False, is_container=False)

    assert daemon.configure(on_host, is_set=False, is_container=False) == on_host
    moved = daemon.configure(on_host, is_set=False, is_container=True)
    assert tomllib.loads(moved) == {"lease_ttl_s": 7200, daemon.OPTION: True}


@pytest.mark.parametrize(
    "text", ["", "a = 1", "a = 1\n", "# c\n[t]\nb = 2\n", "[t]\nb = 2\n", "a = 1\n\n[t]\nb = 2\n[u]\n"]
)
def test_what_was_there_keeps_its_meaning(text: str) -> None:
    made = daemon.configure(text, is_set=False, is_container=True)

    assert tomllib.loads(made) == {**tomllib.loads(text), daemon.OPTION: True}
    for line in text.splitlines():
        assert line in made.splitlines()
