from __future__ import annotations

from latchboard.surface.cli import telling
from tests.surface.cli.harness import Cli


def _story(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "split")
    cli("acquire", "src/a.py", "--agent", "builder")
    cli.clock.advance(240)
    cli("release", "src/a.py", "--agent", "planner")
    cli("acquire", "src/b.py", "--agent", "builder")


def test_history_tells_what_happened_oldest_first(cli: Cli) -> None:
    _story(cli)

    assert cli.says("history") == (
        "01:40:00Z  planner acquired src/a.py (token <token>): split\n"
        "01:40:00Z  builder was refused src/a.py, held by planner\n"
        "01:44:00Z  planner released src/a.py after 4 min\n"
        "01:44:00Z  builder acquired src/b.py (token <token>)\n"
    )


def test_history_of_a_path(cli: Cli) -> None:
    _story(cli)

    answer = cli("history", "src/b.py", "--json").json

    assert answer["names"] == ["src/b.py"]
    assert [event["event"] for event in answer["events"]] == ["lock.acquired"]


def test_history_of_an_agent_and_a_limit(cli: Cli) -> None:
    _story(cli)

    events = cli("history", "--agent", "builder", "--json").json["events"]
    assert [event["event"] for event in events] == ["lock.refused", "lock.acquired"]
    last = cli("history", "--agent", "builder", "--limit", "1", "--json").json["events"]
    assert last == events[-1:]


def test_nothing_is_said_in_words(cli: Cli) -> None:
    assert cli.says("history") == "nothing has happened, as far as is kept\n"
    assert cli.says("history", "src/a.py", "--agent", "builder") == (
        "nothing has happened to src/a.py, as far as is kept, of builder alone\n"
    )


def test_limit_below_one_is_refused(cli: Cli) -> None:
    for limit in ("0", "x", "-1"):
        answer = cli("history", f"--limit={limit}")

        assert answer.status == 2
        assert f"'{limit}' is no whole number from 1" in answer.err


def test_lock_broken_that_nobody_could_read_is_told_without_a_holder(cli: Cli) -> None:
    event = {"event": "lock.broken", "at": "2026-11-21T01:40:00.000000Z", "name": "src/a.py", "agent": "", "token": 0}

    told = telling.line({**event, "by": "op", "why": "a torn disk"}, cli.clock.now())

    assert told == "01:40:00Z  op removed the record of src/a.py, which could not be read: a torn disk"
