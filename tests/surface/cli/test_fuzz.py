"""Hostile words, environments, input and stores: a clear word, a status of the table, no traceback, never "free"."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latchboard.surface.cli import catalogue, dispatch
from tests.conftest import ONE_FIXTURE, examples
from tests.surface.cli.harness import Cli

STATUSES = {0, 2, 3, 10, 11, 12, 13}
# These start processes, or become another program, and with it the whole run of tests: tests/surface/cli/test_run.py,
# tests/process/test_serve_starting.py, tests/process/test_agents.py.
SELF_CONTAINED = (
    "run",
    "singleton run",
    "demo",
    "bench",
    "serve",
    "daemon start",
    "daemon restart",
    "daemon open",
    "supervise",
)

_WORDS = [
    *(
        "",
        " ",
        "-",
        "--",
        "..",
        "/",
        "./",
        "../..",
        "~",
        "*",
        "src",
        "src/a.py/",
        "a/b/../../c",
        "a~b",
        "#",
        "a" * 5000,
    ),
    *("glob:", "glob:**", "glob:[", "glob:{a,b", "hardlink:1-2", "hardlink:x"),
    *("a" * 5000, "a\0b", "\ud800", "e\u0301", "\x1b[2J", "a\nb", "\u202e", "\u0663"),
    *("--root", "--agent", "--json", "--json=1", "--help", "nan", "inf", "-1", "1e308", "9" * 30),
]
_hostile = st.one_of(st.sampled_from(_WORDS), st.text(max_size=20))
_gentle = settings(examples(30), deadline=None, suppress_health_check=ONE_FIXTURE)


def _options(name: str) -> list[str]:
    return [p.spelling for p in catalogue.load(name).parameters if p.spelling]


def _clear(outcome: Any) -> None:
    assert outcome.status in STATUSES, outcome
    assert "Traceback" not in outcome.err + outcome.out
    assert "a mistake in latchboard itself" not in outcome.err
    assert '"internal"' not in outcome.out
    assert "\x1b" not in outcome.out + outcome.err
    if outcome.status not in (0, 3, 10, 11):
        assert outcome.err.startswith("latchboard: ") or '"code"' in outcome.out, outcome


@pytest.mark.parametrize("name", [n for n in catalogue.VERBS if n not in SELF_CONTAINED])
@_gentle
@given(data=st.data())
def test_hostile_words(cli: Cli, name: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.one_of(_hostile, st.sampled_from(_options(name))), max_size=6))
    extra = ["--timeout-s", "0"] if name == "watch" else []
    assume("--exec" not in words and "--wait-s-max" not in words)
    agent = data.draw(st.sampled_from(["planner", "", " ", "\x1b", "a" * 201, "a/b", "."]))
    stdin = data.draw(st.binary(max_size=20))

    os.chdir(cli.project)
    outcome = cli(*name.split(), *extra, *words, stdin=stdin, AGENT_ID=agent)

    if "--help" not in words:
        _clear(outcome)


@_gentle
@given(words=st.lists(_hostile, min_size=1, max_size=4))
def test_hostile_verbs(cli: Cli, words: list[str]) -> None:
    assume(words[0] not in SELF_CONTAINED and "--help" not in words)

    _clear(cli(*words))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one of everything in it."""
    project = tmp_path_factory.mktemp("full") / "project"
    (project / ".git").mkdir(parents=True)
    cli = Cli(project)
    with contextlib.chdir(project):
        cli("acquire", "src/a.py", "glob:docs/**", "src/", "--agent", "planner")
        cli("handoff", "request", "src/a.py", "--no-wait", "--agent", "builder")
        cli("update", "busy", "src/a.py", "--agent", "planner")
        cli("renew", "--agent", "planner")
        cli("send", "planner", "hello", "--agent", "builder", "--ack")
        cli("send", "--all", "hello", "--agent", "builder")
        cli("inbox", "--agent", "planner")
        cli("send", "planner", "again", "--agent", "builder")
    return project


_AFTER_DAMAGE = (
    ("check", "src/a.py", "--agent", "tester"),
    ("acquire", "src/a.py", "--agent", "tester"),
    ("release", "--all", "--agent", "planner"),
    ("renew", "--agent", "planner"),
    ("handoff", "list", "--agent", "planner"),
    ("status",),
    ("agents",),
    ("history",),
    ("watch", "--after", "0", "--timeout-s", "0"),
    ("inbox", "--agent", "planner"),
    ("inbox", "--thread", "x", "--agent", "planner"),
    ("send", "planner", "x", "--agent", "tester"),
    ("update", "x", "--agent", "planner"),
    ("cleanup",),
    ("break", "src/a.py", "--agent", "operator", "--reason", "damaged"),
    ("init",),
)


@settings(examples(25), deadline=None, suppress_health_check=ONE_FIXTURE)
@given(data=st.data())
def test_damaged_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Path, data: st.DataObject) -> None:
    project = tmp_path / "damaged"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(full, project)
    files = sorted(path for path in (project / "data").rglob("*") if path.is_file())
    victim = data.draw(st.sampled_from(files), label="victim")
    content = victim.read_bytes()
    damage = data.draw(
        st.sampled_from(
            [b"", b"{", b"null", b"[]", b"{}", b'{"key":1}', b"\xff" * 10, content[: len(content) // 2], content + b"}"]
        )
        | st.binary(max_size=40)
    )
    victim.write_bytes(damage)
    cli = Cli(project)
    monkeypatch.chdir(project)

    first = cli(*_AFTER_DAMAGE[0])

    is_lock = victim.suffix == ".lock" or victim.name == "wide.json"
    assert first.status in ({10, 12} if is_lock else {10, 12, 13}), (victim, damage, first)
    for words in _AFTER_DAMAGE[1:]:
        _clear(cli(*words))
        _clear(cli(*words, "--json"))


@pytest.mark.parametrize("value", ["", "garbage", "-1", "nan", "1e400", "true", "\udcff"])
@pytest.mark.parametrize("name", ["LATCHBOARD_LEASE_TTL_S", "LATCHBOARD_SHARED", "LATCHBOARD_DURABLE"])
def test_hostile_settings(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    outcome = cli("check", "src/a.py", compose=dispatch._compose)

    assert outcome.status in (0, 2)
    _clear(outcome)
