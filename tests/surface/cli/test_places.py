"""Which project and which file a word on the command line means."""

from __future__ import annotations

import os

from latchboard.compose import Latchboard
from latchboard.surface.cli import catalogue
from latchboard.surface.cli.call import Call
from tests.surface.cli.harness import Cli


def _second_work_tree(cli: Cli) -> None:
    """A linked work tree beside the project, as `git worktree add` leaves it."""
    inside = cli.project / ".git" / "worktrees" / "second"
    inside.mkdir(parents=True)
    (inside / "commondir").write_text("../..\n")
    second = cli.project.parent / "second"
    (second / "src").mkdir(parents=True)
    (second / ".git").write_text(f"gitdir: {inside}\n")
    os.chdir(second / "src")


def test_work_trees_are_told_apart(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    _second_work_tree(cli)

    assert cli("check", "a.py").status == 0
    assert cli("status", "--json").json["root"] == str(cli.project.parent / "second")


def test_work_trees_that_share_a_board_mean_the_same_file_by_the_same_place(cli: Cli) -> None:
    shared = {"LATCHBOARD_WORKTREES_SHARED": "true"}
    cli("acquire", "src/a.py", "--agent", "planner", **shared)
    _second_work_tree(cli)

    for path in ("a.py", "../src/a.py", str(cli.project.parent / "second" / "src" / "a.py"), "glob:src/*.py"):
        assert cli("check", path, **shared).status == 10, path
    assert cli("check", "src/a.py", **shared).status == 0
    assert cli("status", "--json", **shared).json["root"] == str(cli.project)


def test_where_a_file_that_cannot_be_read_would_say_which_project_is_meant_nothing_is_ended(cli: Cli) -> None:
    """Else it would be told that nothing runs, while the workers of the shared project do."""
    (cli.project / "latchboard.toml").write_text("[")
    assert cli("agents", "stop").status == 0
    _second_work_tree(cli)
    second = cli.project.parent / "second"
    (second / "latchboard.toml").write_text("[")

    assert cli("agents", "stop").status == 2
    assert cli("agents", "stop", "--root", str(second)).status == 0
    assert cli("agents", "stop", "--root", str(second / "none")).status == 2


def test_project_is_found_upwards_and_named_by_root(cli: Cli) -> None:
    os.chdir("src")
    assert cli("init", "--json").json["root"] == str(cli.project)
    assert cli("init", "--root", ".", "--json").json["root"] == str(cli.project / "src")
    assert cli("status", "--json").json["root"] == str(cli.project / "src")
    assert cli("status", "--root", "..", "--json").json["root"] == str(cli.project)


def test_paths_outside_the_project_have_their_absolute_names(cli: Cli) -> None:
    outside = str(cli.project.parent / "outside.txt")

    answer = cli("acquire", "../outside.txt", "--agent", "planner", "--json")

    assert answer.json["locks"][0]["name"] == outside
    assert cli("check", outside).status == 10


def test_commands_that_are_suggested_name_root_and_agent_as_they_were_given(cli: Cli) -> None:
    root = str(cli.project)
    cli("acquire", "a b.py", "--agent", "it's", "--root", root)
    os.chdir("/")

    said = cli("acquire", "a b.py", "--agent", "builder", "--root", root).err

    assert f"latchboard handoff request 'a b.py' --reason ... --root {root} --agent builder\n" in said
    assert f"latchboard acquire --wait-s-max 60 'a b.py' --agent builder --root {root}\n" in said
    assert f"latchboard status --root {root}\n" in said


def test_suggested_paths_mean_the_same_in_every_folder(cli: Cli) -> None:
    (cli.project / "src" / "deep").mkdir()
    names = ("src/a.py", "src/deep/", "docs/x.md", "./", "glob:src/*.py", "src/")
    for folder in (".", "src", "src/deep"):
        os.chdir(cli.project / folder)
        for name in names:
            values = {"as_json": False, "agent": None, "root": None}
            call = Call(catalogue.load("check"), [], values)
            call.compose = Latchboard
            assert call.board.locks.names(call.paths([call.typed(name)])) == [name], (folder, name)
            call.close()


def test_settings_file_that_is_wrong_is_told_with_its_path(cli: Cli) -> None:
    (cli.project / "latchboard.toml").write_text("lease_ttl_s = 'long'\n")

    answer = cli("check", "a", "--json")

    assert (answer.status, answer.json["code"]) == (2, "usage")
    assert "latchboard.toml" in answer.json["message"]
