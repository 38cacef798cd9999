from __future__ import annotations

import os
import re

import pytest

from latchboard.surface.cli import table
from tests.surface.cli.harness import Cli


def _busy(cli: Cli) -> None:
    cli("update", "splitting the parser", "src/a.py", "--agent", "planner")
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "two modules")
    cli.clock.advance(90)
    cli("handoff", "request", "src/a.py", "--no-wait", "--agent", "builder", "--reason", "the build")


def test_status_shows_agents_locks_and_the_line(cli: Cli) -> None:
    _busy(cli)

    assert cli.says("status") == (
        "<project>: 2 agents, 1 lock, 1 waiting\n"
        "Agents\n"
        "  agent    status                holds     waits for  last update\n"
        "  builder                                  src/a.py   never\n"
        "  planner  splitting the parser  src/a.py             1 min 30 s ago\n"
        "Locks\n"
        "  path      holder   since      until      waiting  what for\n"
        "  src/a.py  planner  01:40:00Z  02:40:00Z  1        two modules\n"
        "In line\n"
        "  agent    for       since    behind   what for\n"
        "  builder  src/a.py  0 s ago  planner  the build\n"
    )


def test_agent_filter_shows_one_agent_alone(cli: Cli) -> None:
    _busy(cli)

    answer = cli("status", "--agent", "builder", "--json").json

    assert list(answer["agents"]) == ["builder"]
    assert answer["active_locks"] == []
    assert [one["agent"] for one in answer["waiters"]] == ["builder"]
    assert cli.says("status", "--agent", "stranger") == "<project>, of stranger alone: 0 agents, 0 locks, 0 waiting\n"


def test_agent_of_the_environment_is_no_filter(cli: Cli) -> None:
    _busy(cli)

    assert list(cli("status", "--json", AGENT_ID="builder").json["agents"]) == ["builder", "planner"]


def test_status_of_an_empty_project_makes_nothing(cli: Cli) -> None:
    assert cli.says("status") == "<project>: 0 agents, 0 locks, 0 waiting\n"
    assert not os.path.exists("data")


def test_what_is_over_and_what_is_damaged_is_shown(cli: Cli) -> None:
    cli("acquire", "src/b.py", "--agent", "tester")
    record = next((cli.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{", encoding="utf-8")
    cli("acquire", "src/a.py", "--agent", "planner", "--ttl-s", "5")
    cli.clock.advance(6)

    said = cli.says("status")

    assert "Over, and free to take\n  path      last holder  why\n  src/a.py  planner      expired\n" in said
    assert "Cannot be read (counts as held)" in said


@pytest.mark.parametrize("no_color", [True, False])
def test_terminal_gets_a_table_that_fits_and_respects_no_color(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    _busy(cli)
    monkeypatch.setattr(table, "is_terminal", lambda: True)
    environment = {"TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_color else {})}

    out = cli.shown(cli("status", **environment).out)

    assert "─" in out
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", out)) is False or not no_color
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in out.splitlines()) <= 80
