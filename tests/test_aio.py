"""The async facade: the same locks, and nothing left behind by a cancelled task."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from latchboard import AsyncAgent, Latchboard, LockHeld
from latchboard.locks.looking import waiters


@pytest.fixture
def board(tmp_path: Path) -> Latchboard:
    return Latchboard(tmp_path, publishes=False)


def test_a_lock_is_held_inside_the_block_and_free_after_it(board: Latchboard) -> None:
    async def scene() -> None:
        async with AsyncAgent(board.agent("a")).lock("x.py") as hold:
            await hold.write("x.py", "1")
            with pytest.raises(LockHeld):
                await AsyncAgent(board.agent("b")).lock("x.py")

    asyncio.run(scene())

    assert board.locks.check(["x.py"]) == []
    assert (Path(board.root) / "x.py").read_text() == "1"


def test_tasks_wait_in_line_without_blocking_the_loop(board: Latchboard) -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        async with AsyncAgent(board.agent(name)).lock("x.py", wait_s_max=20):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    async def scene() -> None:
        await asyncio.gather(*(work(f"agent-{n}") for n in range(6)))

    asyncio.run(scene())

    assert len(order) == 12
    assert all(order[n] == order[n + 1] for n in range(0, 12, 2))


def test_a_cancelled_wait_leaves_the_line(board: Latchboard) -> None:
    held = board.agent("a").lock("x.py")

    async def scene() -> None:
        task = asyncio.ensure_future(_enter(board, "b"))
        await asyncio.to_thread(_until_somebody_waits, board)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())

    assert waiters(board.locks) == []
    assert held.release()


def test_cancelling_at_any_moment_leaves_no_holder_and_no_waiter__failure_3_17(board: Latchboard) -> None:
    chance = random.Random(17)
    asked = board.agent("a")

    async def one_round() -> None:
        held = await asyncio.to_thread(asked.lock, "x.py")
        task = asyncio.ensure_future(_enter(board, "b"))
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        freed = asyncio.ensure_future(asyncio.to_thread(held.release))
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, freed, return_exceptions=True)

    async def scene() -> None:
        for _ in range(150):
            await one_round()
            assert board.locks.check(["x.py"]) == []
            assert waiters(board.locks) == []

    asyncio.run(scene())


async def _enter(board: Latchboard, agent: str) -> None:
    async with AsyncAgent(board.agent(agent)).lock("x.py", wait_s_max=20):
        await asyncio.sleep(0)


def _until_somebody_waits(board: Latchboard) -> None:
    watch = board.store.watch("waiters/", after=0)  # from the beginning: nothing can be missed
    try:
        while not watch.poll():
            board.clock.wait([watch], 0.05)
    finally:
        watch.close()
