"""Two agents in one real repository, their clients' hooks, real shells, a real git: nothing of a holder's is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from tests.surface.hooks.hooked import Hooked

pytestmark = [pytest.mark.process]

COMMITTED, HOLDERS = "committed\n", "the holder's work\n"
FILES = ("src/a.py", "src/b.py")
IDENTITY = ["-c", "user.name=Tester", "-c", "user.email=tester@example.invalid", "-c", "commit.gpgsign=false"]

PLAIN = [
    "sed -i s/holder/thief/ src/a.py",
    "echo mine > src/a.py",
    "echo mine | tee -a src/b.py",
    "rm src/a.py",
    "rm -rf src",
    "mv src/a.py elsewhere.py",
    "cp other.txt src/b.py",
    "git stash",
    "git checkout -- src/a.py",
    "git checkout topic",
    "git reset --hard",
    "git restore .",
    "cd src && truncate -s 0 a.py",
    "sh -c 'rm src/b.py'",
]
"""The text says it: denied before it runs."""

HIDDEN = [
    *(command for command in PLAIN if command != "git checkout topic"),  # git itself refuses that one
    "python3 -c \"open('src/a.py', 'w').write('mine')\"",
    'F=src/a.py; echo mine > "$F"',
    "find src -name '*.py' -delete",
    "ls src/*.py | xargs sed -i s/holder/thief/",
    "rm src/a.py && mkdir src/a.py",
    "rm src/a.py && ln -s ../other.txt src/a.py",
    "git stash && git stash drop",
    "git checkout -q -f topic && git checkout -q main",
]
"""Run from a script, so that no text of the call says it: found behind it."""


class Repository(Hooked):
    """A repository with two branches; the session `holder` holds both files, and has edited them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / ".git").rmdir()
        self.git("init", "-q", "-b", "main")
        (root / ".gitignore").write_text("data/\n")
        (root / "other.txt").write_text("other\n")
        self._commit(COMMITTED, "one")
        self.git("switch", "-q", "-c", "topic")
        self._commit("topic\n", "two")
        self.git("switch", "-q", "main")

    def _commit(self, text: str, message: str) -> None:
        for name in FILES:
            (self.root / name).write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", message)

    def git(self, *words: str) -> None:
        subprocess.run(["git", *IDENTITY, *words], cwd=self.root, check=True, capture_output=True)

    def work(self) -> None:
        for name in FILES:
            assert self.edit(name, "holder").said_nothing
            (self.root / name).write_text(HOLDERS)
            assert self.edit(name, "holder", after=True).status == 0

    def run(self, script: str) -> None:
        """What the client does with a shell call, whatever comes of it."""
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.root.parent)}
        identity = {
            f"GIT_{who}_{what}": "tester@example.invalid"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        subprocess.run(["sh", "-c", script], cwd=self.root, check=False, capture_output=True, env=environ | identity)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "app"
    root.mkdir()
    return Repository(root)


def conflicts(board: Latchboard) -> list[Any]:
    return list(board.conflicts.every())


@pytest.mark.parametrize("command", PLAIN)
def test_what_the_text_says_is_denied_before_it_runs(repository: Repository, command: str) -> None:
    repository.work()

    before = repository.shell(command, "other")

    assert before.is_denied
    assert "holder" in str(before.denial)


def test_git_is_heard_also_where_it_takes_some_seconds(repository: Repository, tmp_path: Path) -> None:
    """As on a machine that does much else: what git would write is not known without its answer."""
    repository.work()
    programs = tmp_path / "bin"
    programs.mkdir()
    late = f'#!/bin/sh\nmkdir "{tmp_path}/asked" 2>/dev/null && sleep 3\nexec {shutil.which("git")} "$@"\n'
    (programs / "git").write_text(late)
    (programs / "git").chmod(0o755)
    repository.environ["PATH"] = f"{programs}:{os.environ['PATH']}"

    assert repository.shell("git reset --hard", "other").is_denied

    assert (tmp_path / "asked").exists()


@pytest.mark.parametrize("script", HIDDEN)
def test_what_is_not_seen_before_is_found_behind_and_can_be_put_back(repository: Repository, script: str) -> None:
    repository.work()
    (repository.root / "job.sh").write_text(script)

    before = repository.shell("sh job.sh", "other")
    repository.run("sh job.sh")
    after = repository.shell("sh job.sh", "other", after=True)

    assert before.said_nothing
    (found,) = conflicts(repository.board)
    assert (found["holder"], found["by"], found["certain"]) == ("holder", "other", True)
    assert found["id"] in after.context
    assert found["id"] in repository.edit("src/b.py", "holder", after=True).context
    kept = repository.board.images.kept
    for file in found["files"]:
        assert kept.read(file["before"]["sha256"]) == HOLDERS.encode()
        if file["after"] is not None and file["after"]["kind"] == "file":
            assert kept.read(file["after"]["sha256"]) is not None
    self_made = [repository.root / name for name in FILES]
    for path in self_made:
        path.parent.mkdir(exist_ok=True)
        if path.is_dir():
            path.rmdir()
        elif path.is_symlink():
            path.unlink()
    names = [file["name"] for file in found["files"]]
    repository.board.conflicts.restore("holder", found["id"], names, over=True)
    assert all((repository.root / name).read_text() == HOLDERS for name in FILES)


def test_what_changes_nothing_is_told_to_nobody(repository: Repository) -> None:
    repository.work()

    for command in ("git status", "git stash list", "ls -l src", "grep -r '>' src", "touch src/a.py", "cat src/a.py"):
        assert repository.shell(command, "other").said_nothing, command
        repository.run(command)
        assert repository.shell(command, "other", after=True).said_nothing, command

    assert conflicts(repository.board) == []


def test_many_that_look_at_once_tell_it_once(repository: Repository) -> None:
    repository.work()
    (repository.root / "src/a.py").write_text("mine\n")
    names = [f"other-{number}" for number in range(6)]
    hooks = [repository.start() for _ in names]

    for hook, name in zip(hooks, names, strict=True):
        assert hook.stdin is not None
        event = repository.event("PostToolUse", name, tool_name="Bash", tool_input={"command": "make"})
        hook.stdin.write(json.dumps(event).encode())
    for hook in hooks:
        assert hook.stdin is not None
        hook.stdin.close()
    answers = [hook.stdout.read() for hook in hooks if hook.stdout is not None]
    assert [hook.wait(60) for hook in hooks] == [0] * len(names)
    for hook in hooks:
        assert hook.stdout is not None
        assert hook.stderr is not None
        hook.stdout.close()
        hook.stderr.close()

    (found,) = conflicts(repository.board)
    assert sum(found["id"].encode() in answer for answer in answers) == 1
    assert found["by"] in names
