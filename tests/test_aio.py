"""The async facade: the same locks, and nothing left behind by a cancelled task."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from latchboard import AsyncAgent, HoldLost, Latchboard, LockHeld, WaitEnded
from latchboard.aio import AsyncHold, in_thread
from latchboard.errors import UsageError
from latchboard.locks import Hold, Refusal
from latchboard.locks.looking import waiters


@pytest.fixture
def board(tmp_path: Path) -> Latchboard:
    return Latchboard(tmp_path, publishes=False)


def is_empty(board: Latchboard) -> bool:
    return not board.store.read("locks/").scan("locks/") and not waiters(board.locks)


def an_agent(board: Latchboard, agent_id: str) -> AsyncAgent:
    return AsyncAgent(board.agent(agent_id))


async def until(condition: Any, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.001)


def test_a_lock_is_held_inside_the_block_and_free_after_it(board: Latchboard) -> None:
    async def scene() -> None:
        async with an_agent(board, "a").lock("x.py") as hold:
            await hold.write("x.py", "1")
            assert await hold.is_live()
            assert hold.token == hold.hold.token
            with pytest.raises(LockHeld):
                await an_agent(board, "b").lock("x.py")

    asyncio.run(scene())

    assert is_empty(board)
    assert (Path(board.root) / "x.py").read_text() == "1"


def test_lock_that_is_awaited_is_released_by_hand(board: Latchboard) -> None:
    async def scene() -> None:
        hold = await an_agent(board, "a").lock("x.py", bound="agent")
        await hold.renew()
        await an_agent(board, "a").renew()
        assert await hold.release() is True
        assert await hold.release() is False

    asyncio.run(scene())

    assert is_empty(board)


def test_try_gives_a_hold_or_a_refusal_at_once(board: Latchboard) -> None:
    async def scene() -> None:
        hold = await an_agent(board, "a").try_lock("x.py")
        refusal = await an_agent(board, "b").try_lock("x.py")
        assert isinstance(hold, AsyncHold) and isinstance(refusal, Refusal)
        assert not refusal
        await hold.release()

    asyncio.run(scene())


def test_errors_are_those_of_the_locks(board: Latchboard) -> None:
    board.agent("h").lock("x.py")

    async def scene() -> None:
        with pytest.raises(WaitEnded):
            await an_agent(board, "a").lock("x.py", wait_s_max=0.05)
        with pytest.raises(UsageError):
            await an_agent(board, "a").lock("")
        with pytest.raises(HoldLost, match="before the end of the block"):
            async with an_agent(board, "a").lock("y.py") as hold:
                board.locks.release(hold.hold._request, hold.hold.tokens)
        with pytest.raises(ZeroDivisionError):
            async with an_agent(board, "a").lock("z.py"):
                _ = 1 / 0

    asyncio.run(scene())

    assert [key for key, _ in board.store.read("locks/").scan("locks/")] == ["locks/x.py"]


def test_tasks_wait_in_line_without_blocking_the_loop(board: Latchboard) -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        async with an_agent(board, name).lock("x.py", wait_s_max=20):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    async def scene() -> None:
        await asyncio.gather(*(work(f"agent-{n}") for n in range(6)))

    asyncio.run(scene())

    assert len(order) == 12
    assert all(order[n] == order[n + 1] for n in range(0, 12, 2))


def test_more_tasks_than_a_pool_has_threads_may_wait_while_the_holder_gives_back(board: Latchboard) -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        async with an_agent(board, f"a{number}").lock("x.py", wait_s_max=30):
            done.append(number)

    async def scene() -> None:
        holder = await an_agent(board, "h").lock("x.py")
        tasks = [asyncio.ensure_future(work(n)) for n in range(60)]
        await until(lambda: len(waiters(board.locks)) == 60)
        assert await asyncio.wait_for(holder.release(), 10)
        await asyncio.gather(*tasks)

    asyncio.run(scene())

    assert sorted(done) == list(range(60))
    assert is_empty(board)


# -- cancelled --------------------------------------------------------------------------------------------------------


def test_a_cancelled_wait_leaves_the_line(board: Latchboard) -> None:
    held = board.agent("a").lock("x.py")

    async def scene() -> None:
        task = asyncio.ensure_future(_enter(board, "b"))
        await until(lambda: waiters(board.locks))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiters(board.locks) == []  # before the cancellation went on

    asyncio.run(scene())

    assert held.release()


def test_timeout_of_asyncio_leaves_the_line(board: Latchboard) -> None:
    held = board.agent("a").lock("x.py")

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await an_agent(board, "b").lock("x.py", wait_s_max=None)

    asyncio.run(scene())

    assert waiters(board.locks) == []
    assert held.release()


@pytest.mark.parametrize("cancels", [1, 3])
def test_cancelling_at_any_moment_leaves_no_holder_and_no_waiter__failure_3_17(board: Latchboard, cancels: int) -> None:
    chance = random.Random(17)
    asked = board.agent("a")
    outcomes: dict[str, int] = {"CancelledError": 0, "NoneType": 0}
    longest_s = 0.005

    async def one_round(bound: str) -> None:
        held = asked.lock("x.py", bound=bound)  # type: ignore[arg-type]
        task = asyncio.ensure_future(_enter(board, "b", bound))
        freed = threading.Timer(chance.uniform(0, 0.004), held.release)
        freed.start()
        await asyncio.sleep(chance.uniform(0, longest_s))
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        freed.join()
        outcomes[type(outcome).__name__] = outcomes.get(type(outcome).__name__, 0) + 1

    async def scene() -> None:
        nonlocal longest_s
        for turn in range(500):
            await one_round("agent" if turn % 2 else "process")
            assert is_empty(board)
            # A busy machine gives back late, or cancels late: half of the cancellations are to come behind the grant.
            longest_s *= 1.05 if outcomes["NoneType"] < outcomes["CancelledError"] else 0.95
            longest_s = min(max(longest_s, 0.002), 0.1)

    asyncio.run(scene())

    assert set(outcomes) == {"CancelledError", "NoneType"}
    assert min(outcomes.values()) > 20, outcomes  # the cancellations came before, at and after the grant


def test_cancelled_request_takes_back_only_what_it_did_itself(board: Latchboard) -> None:
    kept = board.agent("a").lock("x.py", bound="agent")
    block = board.agent("a").lock("y.py")

    async def scene() -> None:
        for path, bound in (("x.py", "agent"), ("y.py", "process")) * 20:
            task = asyncio.ensure_future(_wait_for(board, "a", path, bound))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scene())

    assert kept.is_live()
    assert block.is_live()


def test_release_that_has_begun_is_finished(board: Latchboard) -> None:
    async def scene() -> None:
        hold = await an_agent(board, "a").lock("x.py", bound="agent")
        task = asyncio.ensure_future(hold.release())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_empty(board)

    asyncio.run(scene())


def test_loop_that_ends_while_tasks_wait_leaves_nothing(board: Latchboard) -> None:
    held = board.agent("h").lock("x.py")
    kept: list[Any] = []

    async def scene() -> None:
        kept.extend(asyncio.ensure_future(_enter(board, f"a{n}", "agent")) for n in range(10))
        await until(lambda: len(waiters(board.locks)) == 10)
        # asyncio.run cancels them, and whatever they wait for

    asyncio.run(scene())

    assert waiters(board.locks) == []
    assert held.release()
    assert is_empty(board)


def test_grant_that_comes_after_the_loop_was_closed_is_taken_back(board: Latchboard) -> None:
    held = board.agent("h").lock("x.py")
    loop = asyncio.new_event_loop()
    lost = loop.create_task(_enter(board, "a", "agent"))
    loop.run_until_complete(until(lambda: waiters(board.locks)))
    waiting = [thread for thread in threading.enumerate() if thread.name == "latchboard-call"]
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()  # without a word to its tasks
    assert not lost.done()

    held.release()
    for thread in waiting:
        thread.join(20)

    assert is_empty(board)


def test_call_in_a_thread_hands_over_whatever_is_raised() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    async def scene() -> None:
        with pytest.raises(asyncio.CancelledError):
            going = threading.Event()
            task = asyncio.ensure_future(in_thread(going.wait))
            await asyncio.sleep(0)
            task.cancel()
            asyncio.get_running_loop().call_soon(going.set)
            await task
        outcome = asyncio.get_running_loop().create_future()
        outcome.set_result(await asyncio.gather(in_thread(lambda: 5)))
        assert outcome.result() == [5]

    asyncio.run(scene())
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(in_thread(fail))


async def _enter(board: Latchboard, agent: str, bound: str = "process") -> None:
    async with an_agent(board, agent).lock("x.py", wait_s_max=20, bound=bound) as hold:
        assert isinstance(hold.hold, Hold)
        await asyncio.sleep(0)


async def _wait_for(board: Latchboard, agent: str, path: str, bound: str) -> None:
    await an_agent(board, agent).lock(path, wait_s_max=20, bound=bound)
