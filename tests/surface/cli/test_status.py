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


def test_an_agent_that_holds_much_is_told_in_a_number(cli: Cli) -> None:
    cli("acquire", "src/a.py", "src/b.py", "src/c.py", "--agent", "planner")

    said = cli.says("status")

    assert "  planner          3 locks             never\n" in said
    assert said.count("src/b.py") == 1


def test_files_that_somebody_else_changed_are_told_with_the_command_that_shows_them(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    board = cli.board()
    held = [{"agent": "planner", "mode": "exclusive", "token": 1, "since": "2026-11-21T01:40:00.000000Z"}]
    trace = {"kind": "bypass", "agent": "builder", "names": ["src/a.py"], "held_by": held, "reason": ""}
    board.store.transact(lambda view: view.put("log/conflict", trace), who="builder")
    board.close()

    said = cli.says("status")

    assert [one["kind"] for one in cli("status", "--json").json["conflicts"]] == ["bypass"]
    assert said.endswith("held files were changed by somebody else, 1 time: latchboard conflict list\n")


class Looked:
    """`status` as somebody sees it on a terminal of some width."""

    def __init__(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self._monkeypatch = monkeypatch

    def __call__(self, columns: int, **environment: str) -> list[str]:
        given = {"TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
        with self._monkeypatch.context() as patch:
            patch.setattr(table, "is_terminal", lambda: True)
            return self.cli.shown(self.cli("status", **given).out).splitlines()


@pytest.fixture
def look(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Looked:
    return Looked(cli, monkeypatch)


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


def test_on_a_terminal_headings_are_set_apart_and_empty_columns_left_out(cli: Cli, look: Looked) -> None:
    cli("update", "splitting the parser", "src/a.py", "--agent", "planner")
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "two modules")

    assert look(80) == [
        "<project>: 1 agent, 1 lock, 0 waiting",
        "",
        "\x1b[1mAgents\x1b[0m",
        "\x1b[2m  agent    status                holds     last update\x1b[0m",
        "  planner  splitting the parser  src/a.py  0 s ago",
        "",
        "\x1b[1mLocks\x1b[0m",
        "\x1b[2m  path      holder   since      until      what for\x1b[0m",
        "  src/a.py  planner  01:40:00Z  02:40:00Z  two modules",
    ]


def test_no_colours_ever_and_nothing_at_all_for_a_dumb_terminal(cli: Cli, look: Looked) -> None:
    _busy(cli)

    assert set(re.findall(r"\x1b\[[0-9;]*m", "".join(look(80)))) == {"\x1b[0m", "\x1b[1m", "\x1b[2m"}
    assert look(80, TERM="dumb") == plain(look(80))


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_a_row_is_one_line_and_the_name_of_a_file_is_kept(cli: Cli, look: Looked, columns: int) -> None:
    paths = ["src/" + "deep/" * 100 + "far.py", "src/\u65e5\u672c/" + "\u6587" * 60 + "/wide.py", "src/a.py"]
    cli("acquire", *paths, "--agent", "planner", "--reason", "why it is held, in many words " * 5)
    cli("update", "something long that is being done " * 5, "--agent", "planner")

    lines = plain(look(columns))

    rows = lines[1 : lines.index("cut to fit; all of it: latchboard status | less -S")]
    assert [line for line in rows if table.cells(line) > columns] == []
    assert [line for line in rows if "far.py" in line] == [line for line in rows if "deep/" in line or "far.py" in line]
    assert sum("planner" in line for line in rows) == 4
    for name in ("far.py", "wide.py", "src/a.py"):
        assert sum(name in line for line in rows) == 1


def test_what_was_cut_is_whole_where_nobody_looks(cli: Cli) -> None:
    path = "src/" + "deep/" * 100 + "far.py"
    cli("acquire", path, "--agent", "planner", "--reason", "why " * 100)

    said = cli.says("status", COLUMNS="40")

    assert path in said
    assert "why " * 99 + "why" in said
    assert "cut to fit" not in said


def test_columns_go_in_order_when_it_gets_narrow(cli: Cli, look: Looked) -> None:
    cli("acquire", "src/" + "a" * 30 + ".py", "--agent", "planner", "--reason", "two modules, one after the other")

    def headings(columns: int) -> list[str]:
        lines = plain(look(columns))
        return re.split(r"\s{2,}", lines[lines.index("Locks") + 1].strip())

    assert headings(120) == ["path", "holder", "since", "until", "what for"]
    assert headings(80) == ["path", "holder", "since", "until"]
    assert headings(60) == ["path", "holder", "until"]
    assert headings(40) == ["path", "holder"]


def test_of_very_many_locks_a_terminal_gets_the_first(cli: Cli, look: Looked) -> None:
    cli("acquire", *[f"src/{number:04}.py" for number in range(table.ROWS_SHOWN_MAX + 1)], "--agent", "planner")

    lines = plain(look(80))

    assert lines[-3:] == ["  ... and 1 more", "", "cut to fit; all of it: latchboard status | less -S"]
    assert cli.says("status").count("\n  src/") == table.ROWS_SHOWN_MAX + 1


def test_status_at_a_revision_is_the_board_of_then(cli: Cli) -> None:
    cli("update", "splitting the parser", "--agent", "planner")
    cli("acquire", "src/a.py", "--agent", "planner", "--ttl-s", "60")
    then = cli("status", "--json").json["revision"]
    cli.clock.advance(86_400)
    cli("release", "src/a.py", "--agent", "planner")
    cli("update", "done", "--agent", "planner")

    assert cli.says("status", "--at", str(then)) == (
        "<project>, as it was at revision <token> (2026-11-21T01:40:00.000000Z): 1 agent, 1 lock, 0 waiting\n"
        "Agents\n"
        "  agent    status                holds     waits for  last update\n"
        "  planner  splitting the parser  src/a.py             0 s ago\n"
        "Locks\n"
        "  path      holder   since      until      waiting  what for\n"
        "  src/a.py  planner  01:40:00Z  01:41:00Z\n"
    )
    answer = cli("status", "--at", str(then), "--json", "--agent", "planner").json
    assert (answer["revision"], answer["last_updated"]) == (then, "2026-11-21T01:40:00.000000Z")
    assert [one["name"] for one in answer["active_locks"]] == ["src/a.py"]
    assert cli("status", "--at", "0", "--json").json["revision"] <= then


def test_status_at_a_time_before_there_was_anything(cli: Cli) -> None:
    cli("update", "thinking", "--agent", "planner")

    assert (
        cli.says("status", "--at", "5")
        == "<project>, as it was before the first commit: 0 agents, 0 locks, 0 waiting\n"
    )


def test_status_at_what_is_no_revision(cli: Cli) -> None:
    cli("update", "thinking", "--agent", "planner")
    newest = cli("status", "--json").json["revision"]

    for wrong in ("x", "-1", "1.5", str(newest + 1), str(2**70)):
        assert cli("status", "--at", wrong).status == 2
    assert cli("status", "--at", str(newest)).status == 0
    assert cli("status", "--at", "7", "--json").json["agents"] == {}, "there was nothing before the first commit"


def test_status_at_what_is_not_known_any_more(cli: Cli) -> None:
    cli("update", "thinking", "--agent", "planner")
    then = cli("status", "--json").json["revision"]
    cli("update", "done", "--agent", "planner")
    for path in (cli.project / "data" / ".agent_locks" / "journal").glob("*.records"):
        path.unlink()

    told = cli("status", "--at", str(then), "--json")

    assert told.status == 12
    assert (told.json["code"], told.json["oldest"]) == ("compacted", cli("status", "--json").json["revision"])
