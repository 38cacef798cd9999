from __future__ import annotations

import os

from latchboard.compose import Latchboard
from latchboard.store.memory import MemoryStore
from tests.surface.cli.harness import Cli


def test_init_makes_the_board_and_the_line_for_git_and_says_so(cli: Cli) -> None:
    assert cli.says("init") == (
        "the board of <project> is ready: data/.agent_locks/\n"
        "  added /data/.agent_locks/ to .gitignore\n"
        "  next: export AGENT_ID=<who you are>; latchboard acquire <path>\n"
    )
    assert (cli.project / ".gitignore").read_text() == "/data/.agent_locks/\n"
    assert (cli.project / "data" / ".agent_locks" / "FORMAT").exists()


def test_second_init_changes_nothing_and_says_so(cli: Cli) -> None:
    cli("init")
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("init", "--json")

    assert (answer.status, answer.json["created"], answer.json["gitignore"]) == (0, False, "there")
    assert (cli.project / ".gitignore").read_text() == "/data/.agent_locks/\n"
    assert cli("check", "src/a.py").status == 10


def test_line_is_added_behind_a_last_line_without_an_end(cli: Cli) -> None:
    (cli.project / ".gitignore").write_text("*.pyc")

    cli("init")

    assert (cli.project / ".gitignore").read_text() == "*.pyc\n/data/.agent_locks/\n"


def test_line_that_covers_the_folder_is_enough(cli: Cli) -> None:
    (cli.project / ".gitignore").write_text("data/\n")

    assert cli("init", "--json").json["gitignore"] == "there"
    assert (cli.project / ".gitignore").read_text() == "data/\n"


def test_outside_git_no_gitignore_is_written(cli: Cli) -> None:
    (cli.project / ".git").rmdir()

    answer = cli("init", "--json")

    assert answer.json["gitignore"] == "no-git"
    assert not (cli.project / ".gitignore").exists()
    assert cli("check", "src/a.py").status == 0


def test_init_below_a_project_finds_the_project(cli: Cli) -> None:
    cli("init")
    os.chdir("src")

    answer = cli("init", "--json")

    assert answer.json["root"] == str(cli.project)
    assert answer.json["created"] is False


def test_root_that_is_no_folder_is_refused(cli: Cli) -> None:
    answer = cli("init", "--root", "src/a.py", "--json")

    assert (answer.status, answer.json["code"]) == (2, "usage")


def test_gitignore_that_cannot_be_written_is_told(cli: Cli) -> None:
    (cli.project / ".gitignore").mkdir()

    answer = cli("init")

    assert answer.status == 13
    assert ".gitignore" in answer.err


def test_board_further_up_is_told_apart_from_the_projects(cli: Cli) -> None:
    above = cli.project.parent
    assert cli("init", "--root", "..", "--json").json["above"] is None
    assert cli("status", "--json").json["root"] == str(cli.project)

    assert cli.says("init") == (
        "the board of <project> is ready: data/.agent_locks/\n"
        "  added /data/.agent_locks/ to .gitignore\n"
        f"  {above} has another board, which is not used from here: to use it, add --root {above}\n"
        "  next: export AGENT_ID=<who you are>; latchboard acquire <path>\n"
    )
    answer = cli("init", "--json").json
    assert (answer["root"], answer["above"], answer["created"]) == (str(cli.project), str(above), False)


def test_one_board_for_several_repositories_is_named(cli: Cli) -> None:
    above = str(cli.project.parent)
    cli("init", "--root", above)

    named = cli("acquire", "src/a.py", "--root", above, "--agent", "planner", "--json")

    assert named.json["locks"][0]["name"] == "project/src/a.py"
    assert cli("check", "src/a.py", "--root", above).status == 10
    assert cli("check", "src/a.py").status == 0


def test_home_folder_must_be_named(cli: Cli) -> None:
    home = str(cli.project)

    refused = cli("init", HOME=home)

    assert refused.status == 2
    assert f"{home} is your home folder" in refused.err
    assert f"--root {home}" in refused.err
    assert not (cli.project / "data").exists()
    assert not (cli.project / ".gitignore").exists()
    assert cli("init", "--root", home, "--json", HOME=home).json["created"] is True


def test_top_of_the_file_system_must_be_named(cli: Cli) -> None:
    def composed(_: str) -> Latchboard:
        return Latchboard("/", clock=cli.clock, store=MemoryStore(clock=cli.clock), publishes=False)

    refused = cli("init", compose=composed)

    assert refused.status == 2
    assert "/ is the top of the file system" in refused.err
