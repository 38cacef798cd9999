from __future__ import annotations

import pytest

from latchboard.surface.cli import answer
from tests.surface.cli.harness import Cli


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person looks at standard error."""
    monkeypatch.setattr(answer, "is_watched", lambda: True)


_WAITING = (
    "latchboard: waiting behind planner (has src/ since 01:40:00Z (5 min ago)); until 01:45:07Z (in 7.0 s) at most, "
    "Ctrl-C gives up\n"
)


def _held(cli: Cli) -> None:
    cli("acquire", "src/", "--agent", "planner")
    cli.clock.advance(300)


@pytest.mark.parametrize(
    "words",
    ["acquire src/a.py --wait-s-max 7", "handoff request src/a.py --wait-s-max 7", "run src/a.py --wait-s-max 7 -- x"],
)
def test_person_is_told_behind_whom_it_waits(cli: Cli, watched: None, words: str) -> None:
    _held(cli)

    told = cli(*words.split(), AGENT_ID="builder")

    assert told.status == 10
    assert told.err.startswith(_WAITING)
    assert told.err.count("waiting behind") == 1


@pytest.mark.parametrize("words", ["--wait-s-max 7 --json", "--wait-s-max 0"])
def test_program_is_told_nothing_nor_who_does_not_wait(cli: Cli, watched: None, words: str) -> None:
    _held(cli)

    assert "waiting" not in cli("acquire", "src/a.py", *words.split(), AGENT_ID="builder").err


def test_where_nobody_looks_nothing_is_told(cli: Cli) -> None:
    _held(cli)

    assert "waiting" not in cli("acquire", "src/a.py", "--wait-s-max", "7", AGENT_ID="builder").err


def test_what_is_free_is_had_without_a_word(cli: Cli, watched: None) -> None:
    told = cli("acquire", "src/a.py", "--wait-s-max", "7", AGENT_ID="builder")

    assert (told.status, told.err) == (0, "")
    assert len(cli("history", "--json").json["events"]) == 1


def test_many_in_the_way_are_counted(cli: Cli, watched: None) -> None:
    for number in range(5):
        cli("acquire", f"src/{number}", "--agent", f"a{number}")

    assert "a2 (has src/2 since 01:40:00Z (0 s ago)), 2 more; until" in (
        cli("acquire", "src/", "--wait-s-max", "7", "--agent", "builder").err
    )


def test_taking_again_what_one_has_says_since_when(cli: Cli) -> None:
    cli("acquire", "src/a.py", AGENT_ID="planner")
    cli.clock.advance(300)

    assert cli.says("acquire", "src/a.py", AGENT_ID="planner") == (
        "planner holds src/a.py (token <token>), already held since 01:40:00Z (5 min ago)\n"
        "  it ends 1 h after its last renewal\n"
        "  give it back: latchboard release src/a.py\n"
    )
    assert cli.says("acquire", "src/a.py", "src/b.py", AGENT_ID="planner") == (
        "planner holds src/a.py (token <token>), already held since 01:40:00Z (5 min ago)\n"
        "planner holds src/b.py (token <token>)\n"
        "  taken; it ends 1 h after its last renewal\n"
        "  give it back: latchboard release src/a.py src/b.py\n"
    )


@pytest.mark.parametrize("words", ["acquire ../x.py", "run ../x.py -- true"])
def test_lock_outside_the_project_is_noted(cli: Cli, words: str) -> None:
    name = str(cli.project.parent / "x.py")

    told = cli(*words.split(), AGENT_ID="p")

    assert (told.status, told.err) == (
        0,
        f"latchboard: {name} lies outside the project {cli.project}: only those who use its board see the lock\n",
    )
    assert cli("acquire", "../y.py", "--agent", "p", "--json").err == ""
