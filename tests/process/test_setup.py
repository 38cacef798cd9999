"""From `latchboard init` to a denied edit, with real processes: a fresh project, one command, then the clients' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import latchboard
from latchboard.rules import installation as rules
from latchboard.rules.client import client
from tests.surface.cli.harness import path_without_clients, schema_of, validate

pytestmark = [pytest.mark.process, pytest.mark.needs_tool("git")]

SOURCE = str(Path(latchboard.__file__).parents[1])
CLAUDE, CODEX = client("claude"), client("codex")
NAMES = ["project", "my project", 'say "it\'s"', "two\nlines", "größe-項目", "$(touch pwned)`x`;"]


class Desk:
    """A person's machine: a home, a PATH with our programs on it, and one repository."""

    def __init__(self, folder: Path, name: str) -> None:
        self.home = folder / "home"
        self.project = folder / name
        self.project.mkdir(parents=True)
        self.home.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for program, module in (("latchboard", "latchboard"), ("latchboard-git-hook", "latchboard.surface.git")):
            script = programs / program
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            script.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self.environment |= {"HOME": str(self.home), "PYTHONPATH": SOURCE, "GIT_CONFIG_NOSYSTEM": "1"}
        folders = [one for one in path_without_clients().split(os.pathsep) if not Path(one, "latchboard-hook").exists()]
        self.environment |= {"PATH": os.pathsep.join((str(programs), *folders))}  # the hook is called by its path
        self.environment |= {f"GIT_{who}_{what}": "me" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        for variable in ("AGENT_ID", "CODEX_HOME", "CLAUDE_PROJECT_DIR"):
            self.environment.pop(variable, None)
        self.git("init", "-q", "-b", "main")
        for file in ("a.txt", "b.txt"):
            (self.project / file).write_text("a\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "first")

    def run(self, *command: str, stdin: str = "", cwd: Path | None = None, **extra: str) -> Any:
        return subprocess.run(
            command,
            cwd=cwd or self.project,
            env={**self.environment, **extra},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def git(self, *words: str, cwd: Path | None = None, **extra: str) -> Any:
        return self.run("git", *words, cwd=cwd, **extra)

    def board(self, *words: str, cwd: Path | None = None) -> Any:
        return self.run(sys.executable, "-m", "latchboard", *words, cwd=cwd)

    def json(self, *words: str, cwd: Path | None = None) -> Any:
        answer = json.loads(self.board(*words, "--json", cwd=cwd).stdout)
        validate(schema_of(words), answer)
        return answer

    def fire(self, command: str, event: dict[str, Any], cwd: Path | None = None) -> Any:
        """One event, told as the client tells it."""
        return self.run("/bin/sh", "-c", command, stdin=json.dumps(event), cwd=cwd)

    def files(self) -> dict[str, bytes]:
        found = [path for path in self.project.rglob("*") if path.is_file()]
        names = {str(path.relative_to(self.project)): path for path in found}
        return {
            name: path.read_bytes()
            for name, path in names.items()
            if not name.startswith("data") and (not name.startswith(".git/") or name.startswith(".git/hooks/"))
        }


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[str], Desk]:
    return lambda name: Desk(tmp_path, name)


def hook(desk: Desk, one: Any, file: str, says: str) -> str:
    text = (desk.project / file).read_text()
    wanted = next((h.event, h.matcher) for h in one.hooks if h.says == says)
    return next(
        str(entry["command"]) for event, matcher, entry in rules.hooks_of(text, one) if (event, matcher) == wanted
    )


def edit(desk: Desk, file: str, session: str = "s1") -> dict[str, Any]:
    return {
        "session_id": session,
        "cwd": str(desk.project),
        "hook_event_name": "PreToolUse",
        "tool_name": "Edit",
        "tool_input": {"file_path": f"{desk.project}/{file}", "old_string": "a", "new_string": "b"},
    }


def denied(ran: Any) -> bool:
    if not ran.stdout.strip():
        return False
    special = json.loads(ran.stdout)["hookSpecificOutput"]
    return bool(special["hookEventName"] == "PreToolUse" and special["permissionDecision"] == "deny")


@pytest.mark.parametrize("name", NAMES)
def test_after_init_an_edit_of_a_held_file_is_denied_and_of_a_free_one_is_not(
    name: str, desk: Callable[[str], Desk]
) -> None:
    mine = desk(name)
    before = mine.files()
    assert mine.board("init", "--client", "claude").returncode == 0
    mine.board("acquire", "a.txt", "--agent", "other", "--reason", "rename")
    command = hook(mine, CLAUDE, ".claude/settings.local.json", "edit")

    held, free = mine.fire(command, edit(mine, "a.txt")), mine.fire(command, edit(mine, "b.txt"))

    assert denied(held), held
    assert "other" in held.stdout
    assert (free.returncode, free.stdout) == (0, ""), free
    mine.board("release", "--all", "--agent", "other")
    assert mine.board("init", "--remove").returncode == 0
    assert mine.files() == before
    assert not list(mine.project.parent.glob("**/pwned"))


def test_commit_of_a_held_file_is_refused_after_init(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "none")
    mine.board("acquire", "a.txt", "--agent", "other")
    (mine.project / "a.txt").write_text("b\n")
    mine.git("add", "a.txt")

    refused = mine.git("commit", "-q", "-m", "second", AGENT_ID="me")

    assert refused.returncode != 0
    assert "other" in refused.stderr
    mine.board("release", "--all", "--agent", "other")
    assert mine.git("commit", "-q", "-m", "second", AGENT_ID="me").returncode == 0


def test_doctor_finds_everything_well_and_does_not_touch_the_board(desk: Callable[[str], Desk]) -> None:
    mine = desk("two words")
    mine.board("init", "--client", "all")
    journal = next((mine.project / "data/.agent_locks/journal").glob("*.jsonl"))
    before = journal.read_bytes()

    ran = mine.board("doctor", "--hooks", "--json")

    answer = json.loads(ran.stdout)
    validate("doctor-hooks", answer)
    states = {(one["client"], one["state"]) for one in answer["findings"]}
    wanted = {
        ("claude", "ok"),
        ("gemini", "ok"),
        ("cursor", "ok"),
        ("aider", "ok"),
        ("git", "ok"),
        ("codex", "untrusted"),
    }
    assert states == wanted, answer
    assert ran.returncode == 0
    assert all(one["took_ms"] > 0 for one in answer["findings"] if one["client"] == "claude")
    assert journal.read_bytes() == before


def test_doctor_names_what_is_broken_and_what_is_missing(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "claude", "--client", "gemini", "--no-git")
    settings = mine.project / ".claude/settings.local.json"
    said = json.loads(settings.read_text())
    said["hooks"]["PreToolUse"][0]["hooks"][0]["command"] = "/nowhere/latchboard-hook claude"
    del said["hooks"]["Stop"]
    settings.write_text(json.dumps(said))
    (mine.project / ".gemini/settings.json").write_text("{ // mine\n}")

    ran = mine.board("doctor", "--hooks", "--json")

    found = json.loads(ran.stdout)["findings"]
    assert ran.returncode == 1
    (broken,) = [one for one in found if one["client"] == "claude" and one["state"] == "broken"]
    assert (broken["event"], broken["mend"]) == ("PreToolUse", "latchboard init --client claude")
    assert "exit status 127" in broken["what"]
    assert [one["event"] for one in found if one["client"] == "claude" and one["state"] == "missing"] == ["Stop"]
    assert [one["file"] for one in found if one["client"] == "gemini" and one["state"] == "broken"] == [
        ".gemini/settings.json"
    ]
    assert {one["state"] for one in found if one["client"] == "git"} == {"missing"}
    assert "to mend it: latchboard init --client claude" in mine.board("doctor", "--hooks").stdout

    mine.board("init", "--client", "claude")
    again = mine.json("doctor", "--hooks")["findings"]
    assert {one["state"] for one in again if one["client"] in ("claude", "git")} == {"ok"}


def test_doctor_names_gits_hooks_that_are_gone_or_not_run_and_init_mends_both(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "none")
    hooks = mine.project / ".git/hooks"
    for name in ("pre-commit", "post-commit"):
        (hooks / name).chmod(0o644)
    (hooks / "pre-push").unlink()

    found = mine.json("doctor", "--hooks")["findings"]

    assert {one["event"]: (one["state"], one["mend"]) for one in found if one["state"] != "ok"} == {
        "pre-commit": ("broken", "latchboard init"),
        "post-commit": ("broken", "latchboard init"),
        "pre-push": ("missing", "latchboard init"),
    }

    mine.board("init", "--client", "none")

    assert {one["state"] for one in mine.json("doctor", "--hooks")["findings"]} == {"ok"}


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (0, "a commit of a file that another agent holds is let through"),
        (1, "a commit of a file that another agent holds is let through: latchboard: "),
        (10, "a commit of a file that nobody holds is refused"),
    ],
)
def test_doctor_sees_through_a_guard_that_does_not_hold(status: int, what: str, desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "none")
    (mine.project.parent / "bin/latchboard-git-hook").write_text(f"#!/bin/sh\nexit {status}\n")

    found = mine.json("doctor", "--hooks")["findings"]

    (broken,) = [one for one in found if one["state"] == "broken"]
    assert (broken["client"], broken["event"], broken["mend"]) == ("git", "pre-commit", "latchboard init")
    assert broken["what"].startswith(what)


HOLES = {
    "lets everything pass": "true",
    "denies everything by its exit status": "echo no >&2; exit 2",
    "says what no client reads": "echo hello",
    "crashes": "echo boom >&2; exit 1",
    "speaks where nothing is in the way": (
        """case "$(cat)" in *probe.txt*) echo no >&2; exit 2;; esac; echo '{"systemMessage": "hello"}'"""
    ),
    "says a denial without the name of its event": (
        """echo '{"hookSpecificOutput": {"permissionDecision": "deny", "permissionDecisionReason": "x"}}'"""
    ),
    "does not end": "exec sleep 100",
}


@pytest.mark.parametrize("what", HOLES)
def test_doctor_sees_through_a_hook_that_does_not_hold(what: str, desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    script = mine.project.parent / "latchboard-hook"
    script.write_text(f"#!/bin/sh\n{HOLES[what]}\n")
    script.chmod(0o755)
    entry = {"type": "command", "command": f"{script} claude", "timeout": 1}
    group = {"matcher": "Edit|Write|MultiEdit|NotebookEdit", "hooks": [entry]}
    (mine.project / ".claude").mkdir()
    (mine.project / ".claude/settings.json").write_text(json.dumps({"hooks": {"PreToolUse": [group]}}))

    findings = [one for one in mine.json("doctor", "--hooks")["findings"] if one["state"] == "broken"]

    assert [(one["client"], one["event"]) for one in findings] == [("claude", "PreToolUse")], findings


def test_codex_hook_that_a_person_trusts_is_well(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "codex", "--no-git")
    path = os.path.realpath(mine.project / ".codex/hooks.json")
    (mine.home / ".codex").mkdir()
    config = mine.home / ".codex/config.toml"
    config.write_text(f"[hooks.state.{json.dumps(f'{path}:pre_tool_use:0:0')}]\ntrusted_hash = 'sha256:1'\n")

    found = [one for one in mine.json("doctor", "--hooks")["findings"] if one["event"] == "PreToolUse"]

    assert [one["state"] for one in found] == ["ok", "untrusted"]
    config.write_text(config.read_text() + "enabled = false\n")
    again = mine.json("doctor", "--hooks")["findings"]
    assert {one["state"] for one in again if one["client"] == "codex"} == {"untrusted"}


def test_hooks_that_are_switched_off_are_broken(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    mine.board("init", "--client", "claude", "--client", "codex", "--no-git")
    (mine.home / ".claude").mkdir()
    (mine.home / ".claude/settings.json").write_text('{"disableAllHooks": true}')
    with (mine.project / ".codex/config.toml").open("a") as config:
        config.write("[features]\nhooks = false\n")

    broken = [one for one in mine.json("doctor", "--hooks")["findings"] if one["state"] == "broken"]

    assert [(one["client"], one["file"], one["what"]) for one in broken] == [
        ("claude", "~/.claude/settings.json", "no hook of ours runs: disableAllHooks is true"),
        ("codex", ".codex/hooks.json", "no hook of ours runs: features.hooks is false"),
    ]


def test_several_who_set_up_at_once_do_it_once(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    command = [sys.executable, "-m", "latchboard", "init", "--client", "all", "--json"]
    running = [
        subprocess.Popen(command, cwd=mine.project, env=mine.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]

    answers = [(one.communicate(timeout=60)[0], one.returncode) for one in running]

    assert {status for _, status in answers} == {0}, answers
    wrote = [answer for out, _ in answers if (answer := json.loads(out))["files"]]
    assert len(wrote) == 1
    assert mine.json("init", "--client", "all")["files"] == []
    mine.board("init", "--remove")
    assert mine.git("status", "--porcelain").stdout == "?? data/\n"


@pytest.fixture
def linked(desk: Callable[[str], Desk], tmp_path: Path) -> Iterator[tuple[Desk, Path]]:
    mine = desk("project")
    tree = tmp_path / "linked tree"
    mine.git("worktree", "add", "-q", "-b", "linked", str(tree))
    yield mine, tree


def test_linked_work_tree_is_a_project_of_its_own(linked: tuple[Desk, Path]) -> None:
    mine, tree = linked

    made = mine.json("init", "--client", "claude", cwd=tree)

    assert made["root"] == os.path.realpath(tree)
    assert (tree / ".claude/settings.local.json").exists()
    assert not (mine.project / ".claude").exists()
    assert (mine.project / ".git/hooks/pre-commit").exists()
    assert mine.json("init", "--remove", cwd=tree)["gitignore"] == "removed"
    assert not (tree / ".claude").exists()
    assert not (mine.project / ".git/hooks/pre-commit").exists()


def test_linked_work_tree_that_shares_the_board_has_files_of_its_own(linked: tuple[Desk, Path]) -> None:
    mine, tree = linked
    for folder in (mine.project, tree):
        (folder / "latchboard.toml").write_text("worktrees_shared = true\n")

    made = mine.json("init", "--client", "claude", "--no-git", cwd=tree)
    mine.board("acquire", "a.txt", "--agent", "other")
    (file,) = tree.glob(".claude/settings.local.json")
    command = next(
        entry["command"] for event, _, entry in rules.hooks_of(file.read_text(), CLAUDE) if event == "PreToolUse"
    )

    event = {**edit(mine, "a.txt"), "cwd": str(tree)}
    event["tool_input"]["file_path"] = f"{tree}/a.txt"
    assert denied(mine.fire(command, event, cwd=tree))
    assert (made["root"], made["gitignore"]) == (os.path.realpath(mine.project), "added")
    assert (mine.project / ".gitignore").read_text() == "/data/.agent_locks/\n"
    assert not (mine.project / ".claude").exists()
    mine.board("init", "--remove", cwd=tree)
    assert not (tree / ".claude").exists()


def test_folder_of_a_larger_repository_leaves_its_hooks_alone_and_says_so(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    part = mine.project / "part"
    part.mkdir()

    told = mine.json("init", "--root", str(part), "--client", "none")["git"]

    assert [one["kind"] for one in told] == ["told"]
    assert "latchboard-git-hook --install" in told[0]["text"]
    assert not (mine.project / ".git/hooks/pre-commit").exists()
    found = mine.json("doctor", "--hooks", "--root", str(part))["findings"]
    assert {(one["state"], one["mend"]) for one in found} == {("missing", "latchboard-git-hook --install")}

    mine.run("latchboard-git-hook", "--install", cwd=part)

    assert mine.json("init", "--root", str(part), "--client", "none")["git"] == []
    assert {one["state"] for one in mine.json("doctor", "--hooks", "--root", str(part))["findings"]} == {"ok"}
    assert mine.board("acquire", "a.txt", "--root", str(part), "--agent", "other").returncode == 0
    (part / "a.txt").write_text("mine\n")
    mine.git("add", "part/a.txt")
    assert "held by other" in mine.git("commit", "-q", "-m", "second", AGENT_ID="me").stderr


def test_repository_without_any_client_gets_a_board_and_gits_hooks(desk: Callable[[str], Desk]) -> None:
    mine = desk("project")
    before = mine.files()

    made = mine.json("init")

    assert [one["sign"] for one in made["clients"]] == [None] * 5
    new = set(mine.files()) - set(before)
    assert new == {".gitignore", *(name for name in new if name.startswith(".git/hooks/"))}
    assert mine.json("doctor", "--hooks")["findings"][0]["client"] == "git"


def test_dry_run_writes_nothing_and_its_diff_is_what_init_does(desk: Callable[[str], Desk]) -> None:
    mine, words = desk("project"), ("init", "--client", "all")
    (mine.project / "AGENTS.md").write_text("# Mine")
    before = mine.files()

    shown = mine.json(*words, "--dry-run")

    assert mine.files() == before
    assert not (mine.project / "data").exists()
    patch = "".join(one["diff"] for one in shown["files"])
    done = mine.run("git", "apply", "-", stdin=patch)
    assert done.returncode == 0, done.stderr
    applied = mine.files()
    mine.git("checkout", "-q", ".")
    mine.git("clean", "-qfdx")
    (mine.project / "AGENTS.md").write_text("# Mine")
    mine.board(*words, "--no-git")
    assert mine.files() == applied
