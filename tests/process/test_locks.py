"""Locks between real processes: races, lost updates, killed holders, threads and forks."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import latchboard
from latchboard import Latchboard
from latchboard.errors import Deadlock, HoldLost
from latchboard.locks.looking import waiters
from latchboard.settings import Settings
from tests.process.nursery import Channel, Child, Nursery, until

pytestmark = pytest.mark.process

PROCESSES = 8
ROUNDS = 120
PATIENT = Settings(wait_poll_s=30.0)
"""A waiter that nobody wakes looks again by itself only after this long: what is faster was told."""


# -- one winner -------------------------------------------------------------------------------------------------------


def racer(channel: Channel, root: str, agent: str) -> None:
    """Race for a path at the moment that the test names, by the founding names."""
    os.chdir(root)
    while True:
        order = channel.receive(3600)
        if "release" in order:
            channel.send(released=latchboard.release_lock(order["release"], agent))
            continue
        while time.monotonic() < order["at"]:
            pass
        won = latchboard.acquire_lock(order["path"], agent, timeout=0)
        again = latchboard.acquire_lock(order["path"], agent, timeout=0) if won else None
        channel.send(won=won, again=again)


@pytest.mark.parametrize("agents", ["each its own id", "all one id"])
def test_k36_eight_processes_on_one_path_have_one_winner_each_round(
    nursery: Nursery, tmp_path: Path, agents: str
) -> None:
    (tmp_path / ".git").mkdir()
    racers = [
        nursery.start(racer, root=str(tmp_path), agent=f"a{n}" if agents == "each its own id" else "twin")
        for n in range(PROCESSES)
    ]
    won_by = [0] * PROCESSES
    for number in range(ROUNDS):
        path = f"src/{number % 3}.py"
        at = time.monotonic() + 0.003
        for child in racers:
            child.channel.send(path=path, at=at)
        answers = [child.receive() for child in racers]

        winners = [n for n, answer in enumerate(answers) if answer["won"]]
        assert len(winners) == 1, f"round {number}: {winners}"
        assert answers[winners[0]]["again"] is True  # the holder takes it again
        losers = [child for n, child in enumerate(racers) if n not in winners]
        assert losers[0].ask(release=path)["released"] is False
        assert racers[winners[0]].ask(release=path)["released"] is True
        won_by[winners[0]] += 1

    assert sum(won_by) == ROUNDS
    assert Latchboard(tmp_path, publishes=False).locks.check(["./"]) == []


# -- nothing is lost --------------------------------------------------------------------------------------------------


def adder(channel: Channel, root: str, agent: str, seed: int, turns: int, threads: int) -> None:
    """Add one to numbers in files, each time to one or two of them, under their locks."""
    board = Latchboard(root, publishes=False)
    added: list[int] = [0, 0, 0]

    def work(thread: int) -> None:
        chance, me = random.Random(seed * 100 + thread), board.agent(f"{agent}-{thread}")
        for _ in range(turns):
            numbers = chance.sample(range(3), chance.choice([1, 2]))
            folder = chance.random() < 0.1
            paths = ["counters/"] if folder else [f"counters/{n}" for n in numbers]
            with me.lock(*paths, wait_s_max=60, bound=chance.choice(["process", "agent"])) as hold:
                for n in numbers:
                    path = Path(root, "counters", str(n))
                    value = int(path.read_text())
                    time.sleep(0)
                    hold.write(f"counters/{n}", str(value + 1))
                    added[n] += 1  # under the lock of that file: no two threads are here at once

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    channel.send(added=added)


@pytest.mark.parametrize("threads", [1, 3])
def test_numbers_in_files_lose_no_addition(nursery: Nursery, tmp_path: Path, threads: int) -> None:
    (tmp_path / "counters").mkdir()
    for n in range(3):
        (tmp_path / "counters" / str(n)).write_text("0")
    children = [
        nursery.start(adder, root=str(tmp_path), agent=f"a{n}", seed=n, turns=24 // threads, threads=threads)
        for n in range(PROCESSES)
    ]

    added = [child.receive(100)["added"] for child in children]

    counted = [int((tmp_path / "counters" / str(n)).read_text()) for n in range(3)]
    assert counted == [sum(one[n] for one in added) for n in range(3)]
    assert Latchboard(tmp_path, publishes=False).locks.check(["./"]) == []


# -- killed -----------------------------------------------------------------------------------------------------------


def holder(channel: Channel, root: str, agent: str) -> None:
    hold = Latchboard(root, publishes=False).agent(agent).lock("src/a.py", wait_s_max=60)
    channel.send(token=hold.token)
    channel.receive(3600)


def waiter(channel: Channel, root: str, agent: str) -> None:
    me = Latchboard(root, settings=PATIENT, publishes=False).agent(agent)
    hold = me.lock("src/a.py", wait_s_max=100)
    channel.send(token=hold.token, at=time.monotonic())
    channel.receive(3600)


def line_of(board: Latchboard, count: int) -> None:
    until(lambda: len(waiters(board.locks)) == count, f"{count} stand in line")


def test_waiter_takes_over_from_a_killed_holder_at_once(nursery: Nursery, tmp_path: Path) -> None:
    board = Latchboard(tmp_path, publishes=False)
    seconds, newest = [], 0
    front = nursery.start(holder, root=str(tmp_path), agent="first")
    newest = front.receive()["token"]
    for number in range(12):
        heir = nursery.start(waiter, root=str(tmp_path), agent=f"w{number}")
        line_of(board, 1)
        started = time.monotonic()
        front.kill()
        answer = heir.receive()
        seconds.append(answer["at"] - started)
        assert answer["token"] > newest
        front, newest = heir, answer["token"]

    assert max(seconds) < 10  # far from the 30 s after which it would have looked by itself


def test_line_goes_on_in_order_over_killed_holders_and_waiters(nursery: Nursery, tmp_path: Path) -> None:
    board = Latchboard(tmp_path, publishes=False)
    front = nursery.start(holder, root=str(tmp_path), agent="first")
    front.receive()
    line: list[Child] = []
    for number in range(6):
        line.append(nursery.start(waiter, root=str(tmp_path), agent=f"w{number}"))
        line_of(board, number + 1)
    for doomed in (line[1], line[3]):
        doomed.kill()
        doomed.wait()

    tokens = []
    for heir in (line[0], line[2], line[4], line[5]):
        front.kill()
        tokens.append(heir.receive()["token"])
        front = heir

    assert tokens == sorted(tokens)


def test_waiter_that_is_stopped_stands_in_nobodys_way_for_ever(nursery: Nursery, tmp_path: Path) -> None:
    """The holder dies while the first in line is stopped: somebody else's look gives it the lock, and its time runs."""
    board = Latchboard(tmp_path, publishes=False)
    front = nursery.start(holder, root=str(tmp_path), agent="first")
    front.receive()
    asleep = nursery.start(waiter, root=str(tmp_path), agent="asleep")
    line_of(board, 1)
    asleep.stop(board.store)
    front.kill()
    front.wait()

    assert not board.agent("other").try_lock("src/a.py")

    assert [one["agent"] for one in board.locks.check(["src/a.py"])] == ["asleep"]
    asleep.kill(signal.SIGCONT)
    assert asleep.receive()["token"]


# -- threads and forks ------------------------------------------------------------------------------------------------


def test_threads_and_services_of_one_process_exclude_each_other__failure_3_9(tmp_path: Path) -> None:
    boards = [Latchboard(tmp_path, publishes=False) for _ in range(2)]
    inside: list[str] = []
    seen: list[int] = []

    def work(number: int) -> None:
        me = boards[number % 2].agent(f"a{number}")
        for _ in range(10):
            try:
                with me.lock("src/a.py", wait_s_max=60):
                    inside.append(me.id)
                    seen.append(len(inside))
                    time.sleep(0)
                    inside.remove(me.id)
            except Deadlock:
                seen.append(99)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)

    assert seen == [1] * 160


def test_request_ids_of_many_threads_are_all_different(tmp_path: Path) -> None:
    locks = Latchboard(tmp_path, publishes=False).locks
    made: list[str] = []

    def work() -> None:
        made.extend(locks.request("a", ["x.py"]).request for _ in range(300))

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 12 * 300


def parent(channel: Channel, root: str) -> None:
    """Hold a lock, and have a child that leaves the block it was forked in."""
    told, tell = os.pipe()
    board = Latchboard(root, publishes=False)
    with board.agent("a").lock("src/a.py") as hold:
        child = os.fork()
        if child == 0:
            try:
                outcome = f"{hold.release()}"
                hold.write("src/a.py", "from the child")
            except HoldLost:
                outcome += " lost"  # a child does not speak for its parent
            os.write(tell, outcome.encode())
            channel.receive(3600)  # lives on while the parent is killed
            os._exit(0)
        channel.send(child=child, outcome=os.read(told, 100).decode(), is_live=hold.is_live())
        channel.receive(3600)


def test_forked_child_neither_releases_nor_keeps_its_parents_lock__failure_3_8(
    nursery: Nursery, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    board = Latchboard(tmp_path, publishes=False)
    process = nursery.start(parent, root=str(tmp_path))
    answer: dict[str, Any] = process.receive()

    try:
        assert answer["is_live"] is True
        assert answer["outcome"] == "False lost"
        assert not board.agent("b").try_lock("src/a.py")
        process.kill()
        process.wait()
        assert board.agent("b").lock("src/a.py", wait_s_max=10)
    finally:
        os.kill(answer["child"], signal.SIGKILL)
