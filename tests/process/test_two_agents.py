"""Two agents on one repository at the same time, through their hooks alone: every line that one wrote is there."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.surface.hooks.hooked import Hooked

if TYPE_CHECKING:
    from tests.process.nursery import Channel, Nursery

pytestmark = [pytest.mark.process, pytest.mark.slow]

FILES = ("src/a.py", "src/b.py", "src/c.py")
TURNS, CALLS = 8, 4
IDENTITY = {f"GIT_{who}_{what}": "t@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", **IDENTITY}


class Repository(Hooked):
    """Two branches, which differ in every file."""

    def __init__(self, root: Path, *, new: bool = False) -> None:
        if not new:
            self.root, self.environ = root, {}
            return
        super().__init__(root)
        (root / ".git").rmdir()
        self.run("git init -q -b main && echo /data/ > .gitignore")
        self._commit("main")
        self.run("git switch -q -c topic")
        self._commit("topic")
        self.run("git switch -q main")

    def _commit(self, text: str) -> None:
        for name in FILES:
            (self.root / name).write_text(f"{text}\n")
        assert self.run(f"git add . && git commit -q -m {text}") == 0

    def run(self, command: str) -> int:
        """What a client does with a shell call."""
        done = subprocess.run(["sh", "-c", command], cwd=self.root, check=False, capture_output=True, env=ENVIRON)
        return done.returncode

    def branch(self) -> str:
        return subprocess.run(
            ["git", "branch", "--show-current"], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()


class Agent:
    """A script that does what its client would: it asks the hook, obeys, does it, and tells the hook."""

    def __init__(self, repository: Repository, name: str) -> None:
        self.repository = repository
        self.name = name
        self.written: list[str] = []
        self.denied = {"edit": 0, "shell": 0, "switch": 0}
        self.switches = 0

    def edit(self, path: str) -> None:
        """Read it, and write it whole: whatever somebody else writes in between is lost."""
        if self.repository.edit(path, self.name).is_denied:
            self.denied["edit"] += 1
            return
        file = self.repository.root / path
        line, text = self._line(), file.read_text()
        self._call("true", "shell")  # a while, in which a client asks somebody or runs something
        file.write_text(text + line + "\n")
        self.written.append(line)
        assert self.repository.edit(path, self.name, after=True).status == 0

    def shell(self, template: str, path: str) -> None:
        line = self._line()
        if self._call(template.format(line=line, path=path), "shell"):
            self.written.append(line)

    def switch(self) -> None:
        """To the other branch, with all that there is committed before; git refuses it where something came since."""
        if self._call("git commit -q -a -m work", "shell"):
            other = "topic" if self.repository.branch() == "main" else "main"
            self.switches += self._call(f"git switch -q {other}", "switch")

    def end_turn(self) -> None:
        assert self.repository.fire(self.repository.event("Stop", self.name, stop_hook_active=False)).status == 0

    def _call(self, command: str, kind: str) -> bool:
        if self.repository.shell(command, self.name).is_denied:
            self.denied[kind] += 1
            return False
        status = self.repository.run(command)
        assert self.repository.shell(command, self.name, after=True).status == 0
        return status == 0

    def _line(self) -> str:
        return f"{self.name}-{len(self.written)}-{random.getrandbits(32):08x}"


def script(channel: Channel, root: str, name: str, seed: int, switches: bool) -> None:
    """One agent's session."""
    random.seed(seed)
    agent = Agent(Repository(Path(root)), name)
    for _ in range(TURNS):
        for _ in range(CALLS):
            path = random.choice(FILES)
            do = random.choice(["edit", "edit", "append", "sed"])
            if do == "edit":
                agent.edit(path)
            else:
                agent.shell("echo {line} >> {path}" if do == "append" else "sed -i '$a {line}' {path}", path)
        if switches:
            agent.switch()
        agent.end_turn()
    channel.send(written=agent.written, denied=agent.denied, switches=agent.switches)


def everything(repository: Repository) -> str:
    """What is in the work tree or in a commit; what was kept of a conflict does not count, for there need be none."""
    files = [repository.root / name for name in FILES]
    log = subprocess.run(
        ["git", "log", "--all", "-p", "--format=%h"], cwd=repository.root, check=True, capture_output=True, text=True
    ).stdout
    return log + "".join(one.read_text() for one in files)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "app"
    root.mkdir()
    return Repository(root, new=True)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_two_agents_at_once_lose_no_line(nursery: Nursery, repository: Repository, seed: int) -> None:
    agents: list[Any] = [
        nursery.start(script, root=str(repository.root), name=name, seed=seed * 10 + number, switches=name == "second")
        for number, name in enumerate(("first", "second"))
    ]
    told = [agent.receive(110) for agent in agents]

    there = everything(repository)
    written = [line for one in told for line in one["written"]]
    assert [line for line in written if line not in there] == []
    assert len(written) > TURNS * CALLS / 2
    assert (
        sum(sum(one["denied"].values()) for one in told) > 0
    )  # else nobody was in anybody's way, and it shows nothing
    assert repository.board.locks.check(list(FILES)) == []


def test_each_in_turn_and_the_branch_is_switched_when_nobody_holds_what_differs(repository: Repository) -> None:
    first, second = Agent(repository, "first"), Agent(repository, "second")
    first.edit("src/a.py")

    second.edit("src/a.py")
    second.shell("echo {line} >> {path}", "src/a.py")
    second.shell("sed -i '$a {line}' {path}", "src/a.py")
    second.shell("echo {line} >> {path}", "src/b.py")
    second.switch()
    first.shell("echo {line} >> {path}", "src/b.py")  # a shell call takes what it names, too
    assert (second.denied, second.switches) == ({"edit": 1, "shell": 2, "switch": 1}, 0)
    assert first.denied["shell"] == 1

    first.end_turn()
    second.edit("src/a.py")
    second.switch()
    assert second.switches == 1
    assert repository.branch() == "topic"
    assert (repository.root / "src/a.py").read_text() == "topic\n"
    assert [line for line in (*first.written, *second.written) if line not in everything(repository)] == []


def test_what_git_writes_is_held_until_the_call_has_ended(repository: Repository) -> None:
    second = "second"
    assert repository.shell("git switch -q topic", second).said_nothing
    assert [repository.holder(name) for name in FILES] == [second] * 3
    assert repository.edit("src/a.py", "first").is_denied

    assert repository.edit("src/b.py", second).status == 0  # by an edit of its own beside it: that one stays
    assert repository.edit("src/b.py", second, after=True).status == 0
    repository.run("git switch -q topic")
    repository.shell("git switch -q topic", second, after=True)
    assert [repository.holder(name) for name in FILES] == [None, second, None]


def test_what_an_agent_held_before_it_keeps_behind_git(repository: Repository) -> None:
    assert repository.edit("src/a.py", "one").status == 0
    assert repository.edit("src/a.py", "one", after=True).status == 0

    assert repository.shell("git switch -q topic", "one").said_nothing
    assert repository.shell("git switch -q topic", "one", after=True).status == 0

    assert [repository.holder(name) for name in FILES] == ["one", None, None]


def test_an_interrupted_call_of_git_holds_nothing_in_the_next_turn(repository: Repository) -> None:
    assert repository.shell("git switch -q topic", "one").said_nothing

    assert repository.fire(repository.event("UserPromptSubmit", "one", prompt="go on")).status == 0

    assert [repository.holder(name) for name in FILES] == [None] * 3
