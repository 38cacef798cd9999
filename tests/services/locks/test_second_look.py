"""Ways to lose a lock that a second look at the code found; each was a script that failed before it was a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import Deadlock, WaitEnded
from latchboard.locks import Hold, handoff, waiting
from latchboard.locks.breaking import break_lock
from latchboard.rules.lock import Request
from latchboard.testing import FakeHost, ManualClock


class World:
    """Processes of one machine around one store of files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.machine = FakeHost()

    def board(self, process: Any = None) -> Latchboard:
        host = self.machine.as_process(process or self.machine.spawn())
        return Latchboard(self.root, clock=self.clock, host=host, publishes=False)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def queue(board: Latchboard, request: Request) -> Any:
    return board.locks.transact(request.agent, lambda table: waiting.queue(board.locks, table, request, 1e6))


def take(board: Latchboard, agent: str, *paths: str, **how: Any) -> Hold:
    return board.agent(agent).lock(*paths, **how)


@pytest.mark.parametrize("bound", ["agent", "process"])
def test_cleanup_keeps_a_lease_that_still_covers_a_longer_hold(world: World, bound: Any) -> None:
    holder = world.board()
    take(holder, "a", "f1", bound=bound)
    world.clock.advance(1)
    long = take(holder, "a", "f2", bound=bound, ttl_s=7200)
    world.clock.advance(4999)
    take(holder, "a", "f3", bound=bound)
    world.clock.advance(3700)

    world.board().cleanup.run()

    assert long.is_live()


def test_a_cycle_through_somebody_further_in_front_is_found(world: World) -> None:
    holder, first, second, closer, asker = (world.board() for _ in range(5))
    take(holder, "H", "X")
    take(asker, "R", "M")
    take(closer, "C", "N")
    queue(closer, closer.locks.request("C", ["M"]))
    queue(first, first.locks.request("A", ["X", "N"], shared=True))
    queue(second, second.locks.request("B", ["X"], shared=True))

    with pytest.raises(Deadlock):
        queue(asker, asker.locks.request("R", ["X"]))


def test_a_request_that_nobody_attends_is_granted_when_another_clears_a_dead_folder_lock(world: World) -> None:
    process = world.machine.spawn()
    take(world.board(process), "D", "src/")
    take(world.board(process), "D", "lib/")
    waiter = world.board()
    handoff.ask_and_go(waiter.locks, waiter.locks.request("W", ["lib/b.py"], bound="agent"), wait_s_max=1e5)
    world.machine.kill(process)

    take(world.board(), "R", "lib/a.py")

    assert [one["agent"] for one in waiter.locks.check(["lib/b.py"])] == ["W"]


def test_a_cycle_through_a_hold_that_somebody_elses_commit_granted_is_found(world: World) -> None:
    holder, blocker = world.board(), world.board()
    process = world.machine.spawn()
    before = world.board(process)
    first = take(holder, "H", "M")
    queue(before, before.locks.request("R", ["M"], bound="agent"))
    first.release()
    world.machine.kill(process)
    take(blocker, "B", "X")
    queue(blocker, blocker.locks.request("B", ["M"]))
    later = world.board()

    with pytest.raises(Deadlock):
        queue(later, later.locks.request("R", ["X"]))


def test_giving_back_what_ask_and_go_brought_does_not_hide_what_else_is_held(world: World) -> None:
    asker, blocker = world.board(), world.board()
    take(asker, "R", "M")
    brought = handoff.ask_and_go(asker.locks, asker.locks.request("R", ["F"], bound="agent"))
    assert isinstance(brought, Hold)
    brought.release()
    take(blocker, "B", "X")
    queue(blocker, blocker.locks.request("B", ["M"]))

    with pytest.raises(Deadlock):
        queue(asker, asker.locks.request("R", ["X"]))


def test_a_wait_that_ends_leaves_nothing_of_a_grant_that_was_broken_in_part(world: World) -> None:
    holder, asker, operator = world.board(), world.board(), world.board()
    held = take(holder, "H", "X")
    request = asker.locks.request("R", ["X", "Y"])
    refusal = queue(asker, request)
    held.release()
    break_lock(operator.locks, "X", by="operator", reason="a test")

    # Its time is over before it woke up.
    with pytest.raises(WaitEnded):
        end_wait(asker, request, refusal)

    assert operator.locks.check(["X", "Y"]) == []


def end_wait(board: Latchboard, request: Request, refusal: Any) -> None:
    hold = board.locks.transact(request.agent, lambda table: waiting.leave(board.locks, table, request, refusal))
    assert hold is None
    raise WaitEnded("as wait_in_line says it")
