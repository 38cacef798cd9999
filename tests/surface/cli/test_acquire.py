from __future__ import annotations

import shlex

import pytest

from tests.surface.cli.harness import Cli


def test_acquire_says_what_is_held_how_long_and_how_to_give_it_back(cli: Cli) -> None:
    assert cli.says("acquire", "src/a.py", "src/b.py", "--agent", "planner") == (
        "planner holds src/a.py (token <token>)\n"
        "planner holds src/b.py (token <token>)\n"
        "  taken; it ends 1 h after its last renewal\n"
        "  give it back: latchboard release src/a.py src/b.py --agent planner\n"
    )


def test_refusal_says_who_since_when_until_when_what_for_and_what_to_do(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "split the parser")
    cli.clock.advance(300)

    assert cli.says("acquire", "src/a.py", AGENT_ID="builder") == (
        "[10]\n"
        "latchboard: src/a.py is not free; nothing was taken\n"
        "  planner holds it since 01:40:00Z (5 min ago)\n"
        "    until 02:40:00Z (in 55 min) unless renewed\n"
        "    what for: split the parser\n"
        "    token <token>, bound to the agent\n"
        "what you can do:\n"
        "  wait in line:      latchboard acquire --wait-s-max 60 src/a.py\n"
        "  ask for it:        latchboard handoff request src/a.py --reason ...\n"
        "  see who does what: latchboard status\n"
    )


def test_refusal_of_several_paths_says_which_is_held_by_whom(cli: Cli) -> None:
    cli("acquire", "src/", "--agent", "planner")
    cli("acquire", "docs/x.md", "--agent", "tester")

    said = cli.says("acquire", "src/a.py", "b.py", "docs/x.md", "--agent", "builder")

    assert "latchboard: not all of src/a.py, b.py, docs/x.md are free; nothing was taken\n" in said
    assert "  src/: planner holds it since" in said
    assert "  docs/x.md: tester holds it since" in said


def test_refusal_as_json_is_one_object_on_standard_output(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("acquire", "src/a.py", "--agent", "builder", "--json")

    assert (answer.status, answer.err) == (10, "")
    assert (answer.json["code"], answer.json["retryable"]) == ("lock-held", True)
    assert answer.json["holders"][0]["agent"] == "planner"


def test_waiting_in_vain_says_how_long(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("acquire", "src/a.py", "--agent", "builder", "--wait-s-max", "7")

    assert answer.status == 10
    assert "src/a.py did not become free in 7.0 s; nothing was taken" in answer.err
    assert "--wait-s-max" not in answer.err


def test_hold_outlives_the_command_and_taking_it_again_is_fine(cli: Cli) -> None:
    first = cli("acquire", "src/a.py", "--agent", "planner", "--json").json
    again = cli("acquire", "src/a.py", "--agent", "planner", "--json").json

    assert first["token"] == again["token"]
    assert cli("acquire", "src/a.py", "--agent", "builder").status == 10


def test_all_or_nothing(cli: Cli) -> None:
    cli("acquire", "src/b.py", "--agent", "planner")

    assert cli("acquire", "src/a.py", "src/b.py", "--agent", "builder").status == 10
    assert cli("check", "src/a.py").status == 0


def test_expired_hold_is_taken_over_with_a_greater_token(cli: Cli) -> None:
    first = cli("acquire", "src/a.py", "--agent", "planner", "--ttl-s", "60", "--json").json
    cli.clock.advance(61)

    second = cli("acquire", "src/a.py", "--agent", "builder", "--json").json

    assert second["token"] > first["token"]
    assert cli("release", "src/a.py", "--agent", "planner").status == 11


def test_shared_holders_share(cli: Cli) -> None:
    assert cli("acquire", "src/a.py", "--agent", "planner", "--shared").status == 0
    answer = cli("acquire", "src/a.py", "--agent", "builder", "--shared", "--json")

    assert (answer.status, answer.json["mode"]) == (0, "shared")
    assert cli("acquire", "src/a.py", "--agent", "tester").status == 10


def test_glob_flag_makes_patterns_of_paths(cli: Cli) -> None:
    answer = cli("acquire", "src/*.py", "--glob", "--agent", "planner", "--json")

    assert [lock["name"] for lock in answer.json["locks"]] == ["glob:src/*.py"]
    assert cli("check", "src/a.py").status == 10


def test_command_that_gives_a_pattern_back_works_as_it_is_shown(cli: Cli) -> None:
    said = cli.says("acquire", "/src/*.py", "--glob", "--agent", "planner")

    shown = said.partition("give it back: latchboard ")[2]
    assert shown == "release 'glob:/src/*.py' --agent planner\n"
    assert cli(*shlex.split(shown)).status == 0


def test_a_name_that_begins_with_a_dash_is_no_option_in_what_is_shown(cli: Cli) -> None:
    said = cli.says("acquire", "--agent", "planner", "--", "-rf.py")
    refused = cli.says("acquire", "--agent", "builder", "--", "-rf.py")

    assert "give it back: latchboard release ./-rf.py --agent planner" in said
    assert "-- -rf.py" in refused.partition("wait in line:")[2].partition("\n")[0]  # as it was typed
    assert "latchboard handoff request ./-rf.py" in refused


def test_without_an_agent_it_says_how_to_name_one(cli: Cli) -> None:
    answer = cli("acquire", "src/a.py")

    assert answer.status == 2
    assert "export AGENT_ID" in answer.err
    assert "--agent" in answer.err


def test_board_file_is_up_to_date_afterwards(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    board = (cli.project / "data" / ".agent_locks" / "status_board.json").read_text()
    assert '"src/a.py"' in board
    assert '"planner"' in board


def test_reason_cannot_steer_the_terminal_of_whoever_meets_it(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "\x1b[2J\nlatchboard: all is free")

    answer = cli("acquire", "src/a.py", "--agent", "builder")

    assert "\x1b" not in answer.err
    assert "what for: \\x1b[2J\\nlatchboard: all is free" in answer.err


@pytest.mark.parametrize("words", [("--wait-s-max", "0"), ("--wait-s-max=0",)])
def test_who_did_not_wait_is_told_the_command_that_waits(cli: Cli, words: tuple[str, ...]) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    refused = cli("acquire", *words, "src/a.py", "--agent", "builder").err

    assert "wait in line:      latchboard acquire --wait-s-max 60 src/a.py --agent builder\n" in refused
    assert (
        cli("run", *words, "src/a.py", "--agent", "builder", "--", "sh", "--wait-s-max", "5").err.count("s-max 5") == 1
    )
