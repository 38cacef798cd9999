"""init as a person and a program read it; what it is asked for and what it refuses."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules.client import CLIENTS
from latchboard.rules.installation import INSTRUCTIONS
from latchboard.surface.cli import dispatch
from tests.surface.cli.harness import ROOT, Cli


@pytest.fixture
def repository(cli: Cli) -> Cli:
    """The project as a repository that git knows."""
    (cli.project / ".git").rmdir()
    subprocess.run(["git", "init", "-q", str(cli.project)], check=True)
    return cli


def names(answer: Any) -> list[str]:
    return [one["path"] for one in answer.json["files"]]


def test_what_was_written_is_said_file_by_file(cli: Cli) -> None:
    (cli.project / ".cursor").mkdir()

    said = cli.says("init", "--no-mcp")

    assert said.startswith(
        "the board of <project> is ready: data/.agent_locks/\n"
        "  added /data/.agent_locks/ to .gitignore\n"
        "  Cursor: found by .cursor\n"
        "  made .cursor/hooks.json: hooks of Cursor\n"
        "  made AGENTS.md: instructions for agents\n"
    )
    assert said.endswith(
        "  to see whether it holds: latchboard doctor --hooks\n"
        "  next: export AGENT_ID=<who you are>; latchboard acquire <path>\n"
    )
    assert "nothing to do: every file says it already" in cli.says("init", "--no-mcp")
    assert cli("init", "--no-mcp", "--json").json["files"] == []


def test_clients_are_chosen_by_name(cli: Cli) -> None:
    (cli.project / ".cursor").mkdir()

    assert {name.split("/")[0] for name in names(cli("init", "--client", "codex", "--dry-run", "--json"))} == {
        ".gitignore",
        ".codex",
        "AGENTS.md",
    }
    two = cli("init", "--client", "codex", "--client=gemini", "--no-mcp", "--no-instructions", "--dry-run", "--json")
    assert names(two) == [".gitignore", ".codex/hooks.json", ".gemini/settings.json"]
    assert names(cli("init", "--client", "none", "--dry-run", "--json")) == [".gitignore"]
    everything = cli("init", "--client", "all", "--dry-run", "--json").json
    assert all(one["is_set_up"] for one in everything["clients"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--client", "vim"), "vim"),
        (("--client", "none", "--client", "codex"), "none stands alone"),
        (("--remove", "--client", "codex"), "--remove takes out everything"),
        (("--remove", "--no-git"), "--remove takes out everything"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], why: str, cli: Cli) -> None:
    answer = cli("init", *words)

    assert answer.status == 2
    assert why in answer.err
    assert not (cli.project / "data").exists()


def test_dry_run_shows_a_diff_and_writes_not_even_the_board(repository: Cli) -> None:
    said = repository.says("init", "--dry-run", "--client", "aider", "--no-instructions")

    assert "--- /dev/null\n+++ b/.gitignore\n@@ -0,0 +1 @@\n+/data/.agent_locks/\n" in said
    assert "+git-commit-verify: true\n" in said
    assert "git: would be made in <project>/.git/hooks: pre-commit," in said
    assert not (repository.project / "data").exists()
    assert not (repository.project / ".gitignore").exists()
    answer = repository("init", "--dry-run", "--json")
    assert (answer.json["created"], answer.json["gitignore"], answer.json["dry_run"]) == (True, "added", True)


def test_file_that_is_not_changed_is_told_with_what_to_write_by_hand(cli: Cli) -> None:
    (cli.project / ".mcp.json").write_text("{ // mine\n}")
    (cli.project / "AGENTS.md").mkdir()

    answer = cli("init", "--client", "claude", "--no-git")

    assert answer.status == 3
    assert "  not changed: .mcp.json, for Expecting property name" in answer.out
    assert '    write there by hand (MCP server for Claude Code):\n      {\n        "mcpServers": {\n' in answer.out
    assert "  not changed: AGENTS.md, for AGENTS.md is a folder\n" in answer.out
    assert (cli.project / "CLAUDE.md").exists()
    refused = [one for one in cli("init", "--client", "claude", "--json").json["files"] if one["action"] == "refused"]
    assert [one["path"] for one in refused] == [".mcp.json", "AGENTS.md"]
    assert cli("init", "--client", "claude", "--dry-run").status == 0


def test_gitignore_that_cannot_be_written_is_an_error_and_the_rest_is_done(cli: Cli) -> None:
    (cli.project / ".gitignore").symlink_to("elsewhere")

    answer = cli("init", "--client", "cursor", "--json")

    assert (answer.status, answer.json["code"]) == (13, "store-unavailable")
    assert ".gitignore is a symbolic link" in answer.json["message"]
    assert (cli.project / ".cursor/hooks.json").exists()


def test_everything_goes_again_and_the_board_stays(repository: Cli) -> None:
    repository("init", "--client", "all")
    repository("acquire", "src/a.py", "--agent", "planner")

    answer = repository("init", "--remove", "--json")

    assert (answer.status, answer.json["gitignore"]) == (0, "removed")
    assert {one["action"] for one in answer.json["files"]} == {"delete"}
    assert {one["kind"] for one in answer.json["git"]} == {"removed"}
    assert repository("check", "src/a.py").status == 10
    left = {str(path.relative_to(repository.project)) for path in repository.project.glob("*")}
    assert left == {".git", "data", "src"}
    again = repository.says("init", "--remove")
    assert again == (
        "nothing to do: nothing of ours is set up here\n"
        "the board stays, with its locks and its mail; when nobody works: rm -r <project>/data/.agent_locks\n"
    )


def test_removal_where_nothing_was_ever_made_makes_nothing(cli: Cli) -> None:
    assert cli.says("init", "--remove") == "nothing to do: nothing of ours is set up here\n"
    assert not (cli.project / "data").exists()


def test_removal_can_be_looked_at_first(cli: Cli) -> None:
    cli("init", "--client", "cursor", "--no-instructions", "--no-mcp")

    said = cli.says("init", "--remove", "--dry-run")

    assert "--- a/.cursor/hooks.json\n+++ /dev/null\n" in said
    assert (cli.project / ".cursor/hooks.json").exists()


def test_no_git_hooks_where_none_are_wanted(repository: Cli) -> None:
    assert repository("init", "--no-git", "--json").json["git"] == []
    assert not (repository.project / ".git/hooks/pre-commit").exists()
    assert repository("init", "--json").json["git"] != []
    assert (repository.project / ".git/hooks/pre-commit").exists()


def test_hook_manager_is_told_what_to_add(repository: Cli) -> None:
    hooks = repository.project / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n")

    said = repository.says("init")

    assert "  git: pre-commit runs the hooks here. Add to .pre-commit-config.yaml" in said


def test_home_folder_that_is_named_gets_a_board_and_no_clients(cli: Cli) -> None:
    home = cli.project
    (home / ".claude").mkdir()

    answer = cli("init", "--root", str(home), "--json", HOME=str(home))

    assert names(answer) == [".gitignore"]
    assert not (home / ".claude/settings.json").exists()


def test_terminal_is_not_steered_by_what_a_file_says(cli: Cli) -> None:
    (cli.project / "AGENTS.md").write_text("\x1b[31mred\n")

    said = cli("init", "--client", "codex", "--no-mcp", "--dry-run").out

    assert "\x1b" not in said
    assert "\\x1b[31mred" in said


def test_doctor_of_a_project_without_clients_says_so(cli: Cli, tmp_path: Path) -> None:
    assert cli.says("doctor", "--hooks") == (
        "no hook of ours, and no client that is used here: `latchboard init` sets up those that it finds\n"
    )
    assert not (cli.project / "data").exists()


def test_client_that_is_used_and_not_set_up_is_missing(cli: Cli) -> None:
    (cli.project / ".codex").mkdir()
    (cli.project / ".aider.conf.yml").write_text("git-commit-verify: false\n")

    said = cli.says("doctor", "--hooks")

    assert said == (
        "missing    codex: Codex CLI is used here and has no hook of ours\n"
        "           to mend it: latchboard init --client codex\n"
        "missing    aider: its commits pass by git's hooks: git-commit-verify is not true\n"
        "           in .aider.conf.yml\n"
        "           to mend it: latchboard init --client aider\n"
    )


def test_commands_that_agents_are_told_are_commands() -> None:
    told = [part for part in INSTRUCTIONS.split("`")[1::2] if part.startswith("latchboard ")]

    assert len(told) == 6
    for command in told:
        found = dispatch._read(shlex.split(command)[1:])
        assert not isinstance(found, int), command


def test_page_about_setting_up_names_every_file() -> None:
    page = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    chapter = (ROOT / "protocol" / "installation.md").read_text(encoding="utf-8")

    for one in CLIENTS:
        for name in (one.hooks_file, one.local_file, one.mcp_file, one.instructions):
            assert not name or (f"`{name}`" in page and name in chapter), name
        assert one.title in page
        assert all(f"`{sign}`" in chapter for sign in (*one.home_signs, *one.programs))
