from __future__ import annotations

import os

from tests.surface.cli.harness import Cli


def test_free_file_is_free_and_nothing_is_made(cli: Cli) -> None:
    answer = cli("check", "src/a.py")

    assert (answer.status, answer.out, answer.err) == (0, "src/a.py: free\n", "")
    assert not os.path.exists("data")


def test_held_file_says_who_since_when_until_when_and_what_for(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--reason", "split the parser")
    cli.clock.advance(240)

    assert cli.says("check", "src/a.py", "src/b.py", "--agent", "builder") == (
        "[10]\n"
        "src/b.py: free for builder\n"
        "src/a.py: planner holds it since 01:40:00Z (4 min ago)\n"
        "    until 02:40:00Z (in 56 min) unless renewed\n"
        "    what for: split the parser\n"
        "    token <token>, bound to the agent\n"
    )


def test_own_lock_is_not_in_the_way(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    assert cli("check", "src/a.py", "--agent", "planner").status == 0
    assert cli("check", "src/a.py", AGENT_ID="planner").status == 0
    assert cli("check", "src/a.py").status == 10


def test_json_has_the_names_and_the_holds(cli: Cli) -> None:
    token = cli("acquire", "src/", "--agent", "planner", "--json").json["token"]

    answer = cli("check", "src/a.py", "--json")

    assert answer.status == 10
    assert answer.json["free"] is False
    assert answer.json["names"] == ["src/a.py"]
    held = answer.json["held"][0]
    assert (held["asked"], held["name"], held["agent"], held["token"]) == ("src/a.py", "src/", "planner", token)
    assert held["remaining_s"] == 3600.0


def test_shared_lock_lets_a_shared_one_pass(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--shared")

    assert cli("check", "src/a.py", "--agent", "builder", "--shared").status == 0
    assert cli("check", "src/a.py", "--agent", "builder").status == 10


def test_folders_and_patterns(cli: Cli) -> None:
    cli("acquire", "glob:src/**/*.py", "--agent", "planner")

    assert cli("check", "src/a.py").status == 10
    assert cli("check", "src/").status == 10
    assert cli("check", "src/*.py", "--glob").status == 10
    assert cli("check", "docs/").status == 0
    assert "by its hold of glob:src/**/*.py" in cli("check", "src/a.py").out


def test_relative_path_is_relative_to_the_current_folder(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    os.chdir("src")

    assert cli("check", "a.py").status == 10
    assert cli("check", "src/a.py").status == 0
    assert cli("check", "../src/a.py").status == 10
    assert cli("check", str(cli.project / "src" / "a.py")).status == 10


def test_relative_path_outside_the_project_is_relative_to_the_root_named(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    os.chdir("/")

    assert cli("check", "src/a.py", "--root", str(cli.project)).status == 10


def test_damaged_record_is_never_free(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    record = next((cli.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{", encoding="utf-8")

    answer = cli("check", "src/a.py", "--json")

    assert answer.status == 12
    assert answer.json["code"] == "malformed-record"


def test_place_without_a_project_is_refused(cli: Cli) -> None:
    (cli.project / ".git").rmdir()

    answer = cli("check", "src/a.py")

    assert answer.status == 2
    assert "no project here" in answer.err
    assert "latchboard init" in answer.err
