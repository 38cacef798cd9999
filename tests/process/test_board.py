"""K41 and failures 3.34 with real processes: eight writers lose nothing, and a broken board loosens nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard, Settings
from latchboard.rules import board as rules
from latchboard.store.files import guard, layout
from latchboard.store.files.derived import STATUS_BOARD
from tests.process.nursery import Channel, Child, Nursery, until

pytestmark = pytest.mark.process

WRITERS = 8
ROUNDS = 30


def board_file(root: Path) -> Path:
    return root / layout.FOLDER / STATUS_BOARD


def read_board(root: Path) -> dict[str, Any]:
    """The board on the disk; empty when it is not there or not whole."""
    try:
        found: dict[str, Any] = json.loads(board_file(root).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def truth(board: dict[str, Any]) -> dict[str, Any]:
    """What the board says of the present; how much of the past a process shows depends on how long it has looked."""
    return {k: board[k] for k in ("revision", "active_locks", "ended_locks", "agents", "waiters", "damaged")}


# -- run in the nursery


def work(channel: Channel, root: str, number: int, rounds: int) -> None:
    """Say something, hold the one file, write to it, tell the next agent; `rounds` times."""
    board = Latchboard(root)
    me, shared = board.agent(f"w{number}"), Path(root) / "shared.txt"
    channel.receive()
    for turn in range(rounds):
        board.board.update(me.id, f"turn {turn}", ["shared.txt"])
        with me.lock("shared.txt", wait_s_max=60) as hold:
            hold.write("shared.txt", f"{shared.read_text()}{me.id} {turn}\n")
        board.mailbox.send(me.id, f"w{(number + 1) % WRITERS}", f"turn {turn}")
    board.close()
    channel.send(done=True)


def hold_and_say(channel: Channel, root: str, agent: str) -> None:
    """Take what is asked for and say nothing of the board: its publisher has to."""
    board = Latchboard(root)
    me = board.agent(agent)
    while True:
        name = channel.receive()["name"]
        me.lock(name)
        channel.send(revision=board.store.read("wide").revision)


def hold_then_fork(channel: Channel, root: str) -> None:
    """A parent whose publisher runs, and a child that goes on alone."""
    board = Latchboard(root)
    board.agent("parent").lock("p.txt")
    until(lambda: "parent" in read_board(Path(root)).get("agents", {}), "the parent is on the board")
    board.board.read()
    ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        board.agent("child").lock("c.txt")
        assert set(board.board.read()["agents"]) == {"parent", "child"}
        until(lambda: "child" in read_board(Path(root)).get("agents", {}), "the child is on the board")
        os.write(ready[1], b"!")
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    found = board.board.read()  # the parent's own place in the journal is where it was
    channel.send(status=status, agents=sorted(found["agents"]), done=os.read(ready[0], 1) == b"!")


def publish_for_ever(channel: Channel, root: str) -> None:
    board = Latchboard(root, publishes=False)
    channel.send(started=True)
    for turn in range(1_000_000):
        board.board.update("publisher", f"turn {turn}")
        board.board.publish()


def follow(channel: Channel, root: str, count: int) -> None:
    """The first `count` messages that are sent from now on."""
    board = Latchboard(root, publishes=False)
    feed = board.stream.events("message.sent", timeout_s=60)
    channel.send(started=True)
    found = [[event["from"], event["excerpt"], event["revision"]] for _, event in zip(range(count), feed, strict=False)]
    channel.send(found=found)


def start_workers(nursery: Nursery, root: Path, rounds: int = ROUNDS) -> list[Child]:
    (root / "shared.txt").write_text("")
    workers = [
        nursery.start("tests.process.test_board:work", root=str(root), number=number, rounds=rounds)
        for number in range(WRITERS)
    ]
    for worker in workers:
        worker.channel.send(go=True)
    return workers


# -- K41


def test_k41_eight_writers_lose_nothing_and_the_board_says_so(nursery: Nursery, tmp_path: Path) -> None:
    for worker in start_workers(nursery, tmp_path):
        assert worker.receive() == {"done": True}

    found = read_board(tmp_path)
    exact = Latchboard(tmp_path, publishes=False)
    assert truth(found) == truth(exact.board.read())
    names = [f"w{number}" for number in range(WRITERS)]
    assert {a: e["status"] for a, e in found["agents"].items()} == dict.fromkeys(names, f"turn {ROUNDS - 1}")
    assert found["active_locks"] == []
    history = exact.board.history(limit=1_000_000)
    kinds = [event["event"] for event in history]
    for kind in ("file.written", "lock.acquired", "lock.released"):
        assert kinds.count(kind) == WRITERS * ROUNDS
    assert {(m["from"], m["to"]) for m in found["messages"]} <= set(zip(names, [*names[1:], names[0]], strict=True))
    assert len(found["file_modification_history"]) > 10 * WRITERS  # as many as half a megabyte of journal tells
    assert all(event in history for event in found["file_modification_history"] if event["token"])


def test_failures_3_34_a_broken_board_loosens_no_lock(nursery: Nursery, tmp_path: Path) -> None:
    workers = start_workers(nursery, tmp_path)
    place, chance, attacks = board_file(tmp_path), random.Random(7), 0

    while attacks <= WRITERS or not all(worker.has_spoken() for worker in workers):
        try:
            whole = place.read_bytes() if place.exists() else b""
            attack = chance.choice(["truncate", "delete", "scribble", "empty", "future", "folder"])
            attack = attack if whole else "scribble"
            if attack == "delete":
                place.unlink()
            elif attack == "truncate":
                os.truncate(place, len(whole) // 2)
            elif attack == "folder":
                place.unlink()
                place.mkdir()
                place.rmdir()
            else:
                future = b'{"version":1,"revision":%d,\n"active_locks":[]}' % 10**18
                place.write_bytes({"scribble": b"\xff{" * 999, "empty": b"", "future": future}[attack])
            attacks += 1
        except OSError:
            continue  # one of the eight was faster

    for worker in workers:
        assert worker.receive() == {"done": True}
    lines = (tmp_path / "shared.txt").read_text().splitlines()
    assert sorted(lines) == sorted(f"w{n} {turn}" for n in range(WRITERS) for turn in range(ROUNDS))
    exact = Latchboard(tmp_path, publishes=False)
    exact.board.publish()
    assert read_board(tmp_path) == exact.board.read()
    assert exact.board.read()["damaged"] == []


def test_the_board_is_rebuilt_after_it_was_deleted(nursery: Nursery, tmp_path: Path) -> None:
    for worker in start_workers(nursery, tmp_path, rounds=5):
        worker.receive()
    before = read_board(tmp_path)

    board_file(tmp_path).unlink()
    Latchboard(tmp_path, publishes=False).board.publish()
    once = read_board(tmp_path)
    board_file(tmp_path).unlink()
    Latchboard(tmp_path, publishes=False).board.publish()

    assert truth(once) == truth(before)
    assert once == read_board(tmp_path)
    assert len(once["file_modification_history"]) == 2 * 5 * WRITERS  # a write and a release each time


# -- who writes it, and when


def test_a_living_process_keeps_it_fresh(nursery: Nursery, tmp_path: Path) -> None:
    holder = nursery.start("tests.process.test_board:hold_and_say", root=str(tmp_path), agent="a")

    for name in ("x.txt", "y.txt", "z.txt"):
        revision = holder.ask(name=name)["revision"]
        until(lambda wanted=revision: read_board(tmp_path).get("revision", 0) >= wanted, f"{name} is on the board")

    assert [e["name"] for e in read_board(tmp_path)["active_locks"]] == ["x.txt", "y.txt", "z.txt"]


def test_it_is_fresh_at_the_end_of_a_program(tmp_path: Path) -> None:
    program = "import latchboard; latchboard.Latchboard('.').agent('a').lock('x.txt', bound='agent')"

    run_program(program, tmp_path)

    assert [e["name"] for e in read_board(tmp_path)["active_locks"]] == ["x.txt"]


def test_a_program_that_ends_soon_publishes_only_when_it_says_so(tmp_path: Path) -> None:
    program = "import latchboard; board = latchboard.Latchboard('.', publishes=False); "
    program += "board.agent('a').lock('x.txt', bound='agent')"

    run_program(program, tmp_path)
    assert not board_file(tmp_path).exists()
    run_program(f"{program}; board.board.publish()", tmp_path)

    assert [e["name"] for e in read_board(tmp_path)["active_locks"]] == ["x.txt"]


def run_program(program: str, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(rules.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, env=environment)


def test_a_forked_child_publishes_what_it_does(nursery: Nursery, tmp_path: Path) -> None:
    parent = nursery.start("tests.process.test_board:hold_then_fork", root=str(tmp_path))

    assert parent.receive() == {"status": 0, "agents": ["child", "parent"], "done": True}


@pytest.mark.parametrize("round_number", range(8))
def test_a_publisher_killed_in_the_middle_is_no_obstacle(nursery: Nursery, tmp_path: Path, round_number: int) -> None:
    victim = nursery.start("tests.process.test_board:publish_for_ever", root=str(tmp_path))
    victim.receive()
    until(lambda: read_board(tmp_path).get("revision"), "there is a board")
    turns = random.Random(round_number).randrange(1, 40)
    until(lambda: int(read_board(tmp_path)["agents"]["publisher"]["status"][5:]) > turns, "it is in the middle of it")

    victim.kill()
    victim.wait()

    assert read_board(tmp_path)  # whole at every instant
    exact = Latchboard(tmp_path, publishes=False)
    exact.board.publish()
    assert read_board(tmp_path) == exact.board.read()
    assert not list(board_file(tmp_path).parent.glob("status_board*.tmp"))


def test_a_publisher_that_was_stopped_holds_nobody_up(nursery: Nursery, tmp_path: Path) -> None:
    holder = nursery.start("tests.process.test_board:hold_and_say", root=str(tmp_path), agent="a")
    holder.ask(name="x.txt")
    turn = os.open(board_file(tmp_path).parent / "journal" / f"{STATUS_BOARD}.turn", os.O_RDWR | os.O_CREAT, 0o600)
    guard.lock(turn, shared=False, wait_s_max=5, path="turn")  # as one that was stopped while it wrote

    revision = holder.ask(name="y.txt")["revision"]
    assert Latchboard(tmp_path, publishes=False).board.publish(wait_s_max=0.05) is False
    os.close(turn)

    until(lambda: read_board(tmp_path).get("revision", 0) >= revision, "the holder got its turn")


# -- the stream


def test_the_stream_of_eight_writers_has_every_message_once_and_in_order(nursery: Nursery, tmp_path: Path) -> None:
    count = WRITERS * ROUNDS
    Latchboard(tmp_path, publishes=False).board.update("first", "makes the store")
    reader = nursery.start("tests.process.test_board:follow", root=str(tmp_path), count=count)
    reader.receive()

    workers = start_workers(nursery, tmp_path)
    found = reader.receive(120)["found"]

    for worker in workers:
        worker.receive()
    assert len(found) == count
    assert [revision for *_, revision in found] == sorted({revision for *_, revision in found})
    for number in range(WRITERS):
        said = [text for sender, text, _ in found if sender == f"w{number}"]
        assert said == [f"turn {turn}" for turn in range(ROUNDS)]


def test_the_stream_resumed_by_other_processes_over_rotations_is_gapless(nursery: Nursery, tmp_path: Path) -> None:
    small = Settings(journal_bytes_max=20_000, journals_kept_count=100)
    first = Latchboard(tmp_path, publishes=False, settings=small)
    place = first.store.transact(lambda view: view.put("agents/none", {}), who="test").revision
    workers = start_workers(nursery, tmp_path, rounds=10)
    seen: list[int] = []

    while not all(worker.has_spoken() for worker in workers):
        first.store.transact(lambda view: view.put("agents/none", {}), who="test")  # this process rotates
        with Latchboard(tmp_path, publishes=False).stream.changes(after=place, timeout_s=0) as changes:
            seen += [change.revision for change in changes]
            place = changes.revision
    for worker in workers:
        worker.receive()
    whole = [change.revision for change in first.stream.changes(after=0, timeout_s=0)]
    seen += [change.revision for change in first.stream.changes(after=place, timeout_s=0)]

    assert seen == whole[1:]
    assert len(list((tmp_path / layout.FOLDER / layout.JOURNAL_FOLDER).glob("*.jsonl"))) > 2


def test_a_reader_that_was_killed_leaves_nothing_behind(nursery: Nursery, tmp_path: Path) -> None:
    Latchboard(tmp_path, publishes=False).board.update("a", "x")
    reader = nursery.start("tests.process.test_board:follow", root=str(tmp_path), count=1)
    reader.receive()
    before = sorted(path for path in (tmp_path / layout.FOLDER).rglob("*"))

    reader.kill(signal.SIGKILL)
    reader.wait()

    assert sorted(path for path in (tmp_path / layout.FOLDER).rglob("*")) == before
