from __future__ import annotations

import os

from tests.surface.cli.harness import Cli


def test_release_gives_back(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    assert cli.says("release", "src/a.py", "--agent", "planner") == "planner released src/a.py\n"
    assert cli("check", "src/a.py").status == 0


def test_release_of_what_is_not_held_changes_nothing_and_says_so(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    assert cli.says("release", "src/a.py", "--agent", "builder") == (
        "[11]\n"
        "builder does not hold src/a.py; nothing was changed there\n"
        "  see who does: latchboard check src/a.py --agent builder\n"
    )
    assert cli("check", "src/a.py").status == 10


def test_part_that_is_held_is_released_and_the_rest_is_named(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("release", "src/a.py", "src/b.py", "--agent", "planner", "--json")

    assert answer.status == 11
    assert (answer.json["released"], answer.json["not_held"]) == (["src/a.py"], ["src/b.py"])


def test_release_all(cli: Cli) -> None:
    cli("acquire", "src/a.py", "docs/", "--agent", "planner")
    cli("acquire", "src/b.py", "--agent", "builder")

    answer = cli("release", "--all", "--agent", "planner", "--json")

    assert sorted(answer.json["released"]) == ["docs/", "src/a.py"]
    assert cli("check", "src/b.py").status == 10
    assert cli.says("release", "--all", "--agent", "planner") == "planner holds nothing here\n"


def test_paths_and_all_exclude_each_other(cli: Cli) -> None:
    assert cli("release", "--agent", "planner").status == 2
    assert cli("release", "src/a.py", "--all", "--agent", "planner").status == 2


def test_release_by_a_former_holder_changes_nothing(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--ttl-s", "10")
    cli.clock.advance(11)
    cli("acquire", "src/a.py", "--agent", "builder")

    assert cli("release", "src/a.py", "--agent", "planner").status == 11
    assert cli("check", "src/a.py", "--json").json["held"][0]["agent"] == "builder"


def test_token_releases_what_another_process_took(cli: Cli) -> None:
    board = cli.board()
    hold = board.agent("planner").lock("src/a.py")

    assert cli("release", "src/a.py", "--agent", "planner").status == 11
    assert cli("release", "src/a.py", "--agent", "planner", "--token", str(hold.token)).status == 0
    assert not hold.release()


def test_second_path_of_a_file_is_given_back_although_the_first_keeps_their_link(cli: Cli) -> None:
    os.link("src/a.py", "src/c.py")
    cli("acquire", "src/a.py", "src/c.py", "--agent", "planner")

    answer = cli("release", "src/c.py", "--agent", "planner")

    assert (answer.status, answer.out) == (0, "planner released src/c.py\n")
    assert cli("check", "src/c.py", "--agent", "builder").status == 10
