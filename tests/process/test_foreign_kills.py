"""K43 for images and foreign changes: SIGKILL at every system call; what is referred to is there, nothing is lost."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.rules import foreign as rules
from latchboard.settings import Settings
from tests.process import inspection
from tests.process.nursery import Channel, Gone, Nursery
from tests.process.trace import SPARED, Trace, numbers

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.needs_tool("strace")]

FILE = "src/a.py"
OLD, NEW, OTHER = "old content\n" * 40, "new content\n" * 50, "other content\n" * 30
KILLS_MIN = 20
OPERATIONS = ("begin", "done", "before", "after", "restore")


def board_of(root: str) -> Latchboard:
    return Latchboard(root, settings=Settings(guard_wait_s_max=10.0), publishes=False)


def write(root: str, text: str, name: str = FILE) -> None:
    os.makedirs(f"{root}/src", exist_ok=True)
    with open(f"{root}/{name}", "w", encoding="utf-8") as file:
        file.write(text)


def victim(channel: Channel, root: str, operation: str) -> None:
    """Make everything ready, and do one operation when told."""
    board = board_of(root)
    write(root, "warm\n", "src/warm.py")
    board.editing.begin("warm", ["src/warm.py"])
    write(root, "warmer\n", "src/warm.py")
    warm = board.foreign.before_call("warm") + board.foreign.after_call("victim")
    board.editing.done("warm")  # so that the store, its folders and every module are there
    assert warm[0]["by"] == "victim"
    board.editing.end("warm")
    write(root, OLD)
    if operation != "begin":
        board.editing.begin("A", [FILE])
    if operation == "done":
        write(root, NEW)
    elif operation != "begin":
        board.editing.done("A")
    conflict = ""
    if operation in ("after", "restore"):
        board.foreign.before_call("B")
        write(root, OTHER)
    elif operation == "before":
        write(root, OTHER)
    if operation == "restore":
        conflict = board.foreign.after_call("B")[0]["id"]
        board.editing.done("B")
    actions = {
        "begin": lambda: board.editing.begin("A", [FILE]),
        "done": lambda: board.editing.done("A", [FILE]),
        "before": lambda: board.foreign.before_call("B"),
        "after": lambda: board.foreign.after_call("B"),
        "restore": lambda: board.conflicts.restore("A", conflict),
    }
    channel.send(ready=True)
    channel.receive()
    actions[operation]()
    channel.send(done=True)
    channel.receive(3600)


def attempt(nursery: Nursery, folder: Path, operation: str, *injections: str) -> tuple[bool, Counter[str]]:
    """One run; whether the victim was killed in it, and the system calls that it made."""
    root = folder / "root"
    root.mkdir()
    try:
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
        check(str(root), operation, was_killed)
        return was_killed, calls
    finally:
        nursery.clear()
        shutil.rmtree(root)


def check(root: str, operation: str, was_killed: bool) -> None:
    """The victim is dead: what is left parses and is whole, and the next agent finds what it did not tell."""
    assert inspection.Folder(root).problems() == []
    board = board_of(root)
    everything_referred_to_is_there(board)
    text = Path(root, FILE).read_text()
    if operation == "begin":
        held, imaged = bool(board.locks.check([FILE])), image(board) is not None
        assert held == imaged
        assert held or was_killed
    elif operation == "done":
        assert content(board, image(board)["file"]) == (OLD if was_killed and is_old(board) else NEW)
    elif operation in ("before", "after"):
        told_once(board, operation)
    else:
        assert text in (OTHER, OLD)
        assert text == OLD or was_killed
        board.editing.end("A")
        board.conflicts.restore("C", conflicts(board)[0]["id"])
        assert Path(root, FILE).read_text() == OLD
    board.cleanup.run()
    everything_referred_to_is_there(board)
    board.close()


def told_once(board: Latchboard, operation: str) -> None:
    """Either the whole of it was told, or the next look tells it: both sides, one conflict, one message each."""
    assert len(mail(board, "A")) == len(conflicts(board))
    by = [one["by"] for one in conflicts(board)]
    if operation == "after":
        board.foreign.after_call("B")
    else:
        board.foreign.before_call("C")
    (conflict,) = conflicts(board)
    (file,) = conflict["files"]
    assert (content(board, file["before"]), content(board, file["after"])) == (OLD, OTHER)
    assert by in ([], [conflict["by"]])
    assert len(mail(board, "A")) == 1
    assert len(mail(board, "B")) == (operation == "after")
    assert board.foreign.before_call("D") == []


def everything_referred_to_is_there(board: Latchboard) -> None:
    kept = board.images.kept
    for record in board.images.records(board.store.read("images/")):
        if record["file"] is not None and record["file"]["kept"]:
            assert kept.read(record["file"]["sha256"]) is not None
    for conflict in board.conflicts.every():
        for name in rules.kept_names(conflict):
            assert kept.read_named(name)


def image(board: Latchboard) -> Any:
    return board.images.get(board.store.read(f"images/{FILE}"), FILE)


def is_old(board: Latchboard) -> bool:
    return content(board, image(board)["file"]) == OLD


def content(board: Latchboard, side: Any) -> str:
    data = board.images.kept.read(side["sha256"])
    assert data is not None
    return data.decode()


def conflicts(board: Latchboard) -> list[Any]:
    return [one for one in board.conflicts.every() if one["holder"] == "A"]


def mail(board: Latchboard, agent: str) -> list[Any]:
    return list(board.mailbox.peek(agent))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_system_call_loses_nothing__K43(nursery: Nursery, memory_path: Path, operation: str) -> None:
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
