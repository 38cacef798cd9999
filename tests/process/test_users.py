"""Two users of one machine: a folder of one's own, or one that a group shares (failures 3.26, 3.27)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from latchboard.settings import Settings
from tests.process import space
from tests.process.nursery import Channel, Child, Nursery

pytestmark = pytest.mark.process

ALICE, BOB, GROUP = 41001, 41002, 41000
"""Numbers without names: users of a project folder need no account here."""


def as_user(channel: Channel, root: str, uid: int, shared: bool, umask: int) -> None:
    """Do what is asked as another user. Who waits here wakes by a bell, or never."""
    os.umask(umask)
    space.become(uid, GROUP)
    board = Latchboard(root, settings=Settings(shared=shared, wait_poll_s=1000), publishes=False)
    me = board.agent(f"user-{uid}")
    actions: dict[str, Any] = {
        "lock": lambda path: me.lock(path).token,
        "wait": lambda path: me.lock(path, wait_s_max=20).token,
        "release": lambda path: board.locks.release_names(me.id, [path]),
        "check": lambda path: [holder["agent"] for holder in board.locks.check([path])],
        "send": lambda to: bool(board.mailbox.send(me.id, to, "hello")),
        "receive": lambda me_too: [message["from"] for message in board.mailbox.receive(me.id)],
        "publish": lambda nothing: board.board.publish(),
    }
    channel.send(ready=True)
    while True:
        word = channel.receive(3600)
        try:
            channel.send(answer=actions[word["do"]](word["what"]))
        except CoordinationError as exc:
            channel.send(answer=exc.code, hint=exc.hint, message=exc.message)


@pytest.fixture
def root(require: Any) -> Iterator[Path]:
    """A project folder of Alice's group; not in pytest's own folder, which nobody else may enter."""
    require(os.geteuid() == 0, "root, to become two other users")
    with tempfile.TemporaryDirectory(prefix="latchboard-users-") as folder:
        os.chown(folder, ALICE, GROUP)
        os.chmod(folder, 0o2770)
        yield Path(folder)


def user(nursery: Nursery, root: Path, uid: int, *, shared: bool, umask: int = 0o077) -> Child:
    child = nursery.start(as_user, root=str(root), uid=uid, shared=shared, umask=umask)
    child.receive()
    return child


def test_two_users_of_a_shared_folder_exclude_and_serve_each_other__failure_3_27(nursery: Nursery, root: Path) -> None:
    alice = user(nursery, root, ALICE, shared=True)
    bob = user(nursery, root, BOB, shared=True)

    first = alice.ask(do="lock", what="src/a.py")["answer"]
    assert bob.ask(do="lock", what="src/a.py")["answer"] == "lock-held"
    assert bob.ask(do="check", what="src/a.py")["answer"] == [f"user-{ALICE}"]
    bob.channel.send(do="wait", what="src/a.py")
    alice.ask(do="lock", what="src/other.py")
    alice.ask(do="release", what="src/a.py")
    second = bob.receive()["answer"]

    assert second > first
    assert bob.ask(do="send", what=f"user-{ALICE}")["answer"] is True
    assert alice.ask(do="receive", what="")["answer"] == [f"user-{BOB}"]
    assert alice.ask(do="publish", what="")["answer"] is True
    assert bob.ask(do="publish", what="")["answer"] is True


def test_dead_holder_of_another_user_is_taken_over_at_once__failure_3_27(nursery: Nursery, root: Path) -> None:
    alice = user(nursery, root, ALICE, shared=True)
    bob = user(nursery, root, BOB, shared=True)
    first = alice.ask(do="lock", what="src/a.py")["answer"]

    alice.kill()
    alice.wait()

    assert bob.ask(do="lock", what="src/a.py")["answer"] > first


def test_folder_of_one_user_is_refused_to_another_with_a_hint__failure_3_27(nursery: Nursery, root: Path) -> None:
    alice = user(nursery, root, ALICE, shared=False, umask=0o002)
    alice.ask(do="lock", what="src/a.py")
    modes = _modes(root)

    bob = user(nursery, root, BOB, shared=False)
    told = bob.ask(do="lock", what="src/b.py")

    assert told["answer"] == "store-forbidden"
    assert "shared" in told["hint"]
    assert bob.ask(do="check", what="src/a.py")["answer"] == "store-forbidden"
    assert bob.ask(do="send", what="x")["answer"] == "store-forbidden"
    assert _modes(root) == modes
    assert alice.ask(do="check", what="src/a.py")["answer"] == [f"user-{ALICE}"]


def test_shared_files_are_for_the_group_and_nobody_else_whatever_the_umask__failure_3_27(
    nursery: Nursery, root: Path
) -> None:
    alice = user(nursery, root, ALICE, shared=True, umask=0o077)
    alice.ask(do="lock", what="src/a.py")
    alice.ask(do="send", what="somebody")
    alice.ask(do="publish", what="")

    bob = user(nursery, root, BOB, shared=True, umask=0)
    bob.ask(do="lock", what="src/b.py")

    modes = {name: mode for name, mode in _modes(root).items() if ".agent_locks" in name}
    assert {mode & 0o777 for name, mode in modes.items() if os.path.isdir(name)} == {0o770}
    assert {mode & 0o777 for name, mode in modes.items() if not os.path.isdir(name)} == {0o660}


def test_folder_that_a_killed_user_half_made_is_swept__failure_3_27(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, settings=Settings(shared=True), publishes=False)
    board.agent("a").lock("src/a.py", bound="agent")
    folder = tmp_path / "data/.agent_locks"
    half_made, young, used = (folder / f"{name}.tmp" for name in ("waiters.0123abcd", "waiters.4567abcd", "x.89abcdef"))
    for path in (half_made, young, used):
        path.mkdir()
    (used / "something").touch()
    for path in (half_made, used):
        os.utime(path, (1, 1))

    would = board.cleanup.run(dry_run=True).to_json()
    board.cleanup.run()

    assert half_made.name in str(would)
    assert [path.exists() for path in (half_made, young, used)] == [False, True, True]


def _modes(root: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mode for path in root.rglob("*")}
