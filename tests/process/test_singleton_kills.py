"""K43 for singletons: SIGKILL at every system call of each operation; the next one starts, and what is left parses."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import AlreadyRunning
from latchboard.settings import Settings
from tests.process.nursery import Channel, Gone, Nursery
from tests.process.trace import SPARED, Trace, numbers

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.needs_tool("strace")]

TYPE = "code_developer"
KILLS_MIN = 15
OPERATIONS = ("first", "stale", "give back", "force", "operator")


def victim(channel: Channel, root: str, operation: str) -> None:
    """Make everything ready, and do one operation when told."""
    board = Latchboard(root, publishes=False)
    mine = board.singletons
    mine.enforce("curator").release()  # so that the store, the folder and every module are there
    if operation == "give back":
        mine.enforce(TYPE)
    actions = {
        "first": lambda: mine.enforce(TYPE),
        "stale": lambda: mine.enforce(TYPE),
        "give back": lambda: mine.cleanup(TYPE),
        "force": lambda: mine.enforce(TYPE, force=True),
        "operator": lambda: mine.release(TYPE, force=True),
    }
    channel.send(ready=True)
    channel.receive()
    actions[operation]()
    channel.send(done=True)
    channel.receive(3600)


def holder(channel: Channel, root: str) -> None:
    Latchboard(root, publishes=False).singletons.enforce(TYPE)
    channel.send(ready=True)
    channel.receive(3600)


def attempt(nursery: Nursery, folder: Path, operation: str, *injections: str) -> tuple[bool, Counter[str]]:
    """One run; whether the victim was killed in it, and the system calls that it made."""
    root = folder / "root"
    root.mkdir()
    try:
        if operation in ("stale", "force", "operator"):
            first = nursery.start(holder, root=str(root))
            first.receive()
            if operation == "stale":
                first.kill()
                first.wait()
        child = nursery.start(victim, root=str(root), operation=operation)
        child.receive()
        with Trace(child.pid, folder / "calls", *injections) as trace:
            try:
                child.channel.send(go=True)  # where strace interrupts its waiting, it may be dead by now
                child.receive()
                was_killed = False
            except Gone:
                was_killed = True
            calls = Counter(name for name, _ in trace.calls())
            nursery.clear()
        check(root)
        return was_killed, calls
    finally:
        nursery.clear()
        shutil.rmtree(root)


def check(root: Path) -> None:
    """Everybody is dead: what is left parses, and the type can be had at once, by one process."""
    folder = root / "data/.agent_pids"
    for path in folder.glob("*.json"):
        assert json.loads(path.read_text())["agent_type"] == path.stem
    for path in folder.glob("*.pid"):
        assert path.read_text().strip().isdecimal()
    board = Latchboard(root, settings=Settings(guard_wait_s_max=10.0), publishes=False)
    assert board.singletons.status([TYPE])[0]["state"] in ("free", "stale")
    before = board.singletons.counts()[TYPE]["enforced"]
    with board.singletons.enforce(TYPE) as registration:
        assert registration.is_held()
        assert board.singletons.status([TYPE])[0]["state"] == "running"
    assert board.singletons.counts()[TYPE]["enforced"] == before + 1
    board.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_system_call_keeps_nobody_out__K4_K43(
    nursery: Nursery, memory_path: Path, operation: str
) -> None:
    was_killed, calls = attempt(nursery, memory_path, operation)
    assert not was_killed

    killed = 0
    for call, count in sorted((call, count) for call, count in calls.items() if call not in SPARED):
        for number in numbers(count):
            if not attempt(nursery, memory_path, operation, f"{call}:signal=KILL:when={number}")[0]:
                break
            killed += 1

    print(f"{operation}: killed at {killed} system calls")
    assert killed >= KILLS_MIN


@pytest.mark.timeout(600)
def test_a_kill_while_breaking_in_leaves_the_former_holder_or_nobody(nursery: Nursery, tmp_path: Path) -> None:
    """The first holder lives on: until the new epoch is there it is in the way, and afterwards it is not."""
    outcomes = set()
    for number in range(1, 60):
        root = tmp_path / str(number)
        root.mkdir()
        first = nursery.start(holder, root=str(root))
        first.receive()
        child = nursery.start(victim, root=str(root), operation="force")
        child.receive()
        with Trace(child.pid, tmp_path / "calls", f"openat:signal=KILL:when={number}"):
            try:
                child.channel.send(go=True)  # where strace interrupts its waiting, it may be dead by now
                child.receive()
                was_killed = False
            except Gone:
                was_killed = True
        child.close()
        try:
            Latchboard(root, publishes=False).singletons.enforce(TYPE).release()
            outcomes.add("entered")
        except AlreadyRunning as exc:
            assert exc.pid == first.pid
            outcomes.add("refused")
        nursery.clear()
        if not was_killed:
            break

    assert outcomes == {"entered", "refused"}
