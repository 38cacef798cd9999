"""The machine lock as tasks use it: cut off at the ceiling, nothing left behind by a cancelled one (K15, K18)."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import pytest

from latchboard import HoldCeilingReached, LockAcquireTimeout, MachineFileLock, MachineHold, read_lock_record
from latchboard.errors import UsageError
from latchboard.rules import machine_lock as rules

pytestmark = pytest.mark.slow  # tasks wait by the clock of their loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "refresh.lock"


def is_free(path: Path) -> bool:
    try:
        MachineFileLock(path, acquire_timeout_s=0).acquire().release()
    except LockAcquireTimeout:
        return False
    return True


def test_tasks_take_turns_with_one_lock_object_and_with_many(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []
    shared = MachineFileLock(path, acquire_timeout_s=60)

    async def work(lock: MachineFileLock) -> None:
        for _ in range(5):
            async with lock as hold:
                inside.append(1)
                most.append(len(inside))
                await asyncio.sleep(0)
                hold.check()
                inside.pop()

    async def scene() -> None:
        own = [MachineFileLock(path, acquire_timeout_s=60) for _ in range(6)]
        await asyncio.gather(*(work(lock) for lock in [shared] * 6 + own))

    asyncio.run(scene())

    assert len(most) == 60
    assert max(most) == 1


def test_tasks_and_threads_exclude_each_other(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []
    lock = MachineFileLock(path, acquire_timeout_s=60)

    def by_thread() -> None:
        for _ in range(20):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    async def by_task() -> None:
        for _ in range(20):
            async with lock:
                inside.append(1)
                most.append(len(inside))
                await asyncio.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=by_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    asyncio.run(by_task())
    for thread in threads:
        thread.join()

    assert len(most) == 60
    assert max(most) == 1


def test_a_waiting_task_does_not_block_the_loop(path: Path) -> None:
    turns: list[int] = []

    async def other() -> None:
        for turn in range(20):
            turns.append(turn)
            await asyncio.sleep(0.001)

    async def scene() -> None:
        with MachineFileLock(path), pytest.raises(LockAcquireTimeout) as caught:
            beside = asyncio.ensure_future(other())
            async with MachineFileLock(path, acquire_timeout_s=0.2):
                raise AssertionError("two holders")
        await beside
        assert caught.value.path == str(path)

    asyncio.run(scene())

    assert len(turns) == 20


def test_a_body_over_the_ceiling_is_cut_off_and_the_lock_is_free(path: Path) -> None:
    async def scene() -> float:
        started = time.monotonic()
        with pytest.raises(HoldCeilingReached) as caught:
            async with MachineFileLock(path, max_hold_s=0.1):
                await asyncio.sleep(3600)
        assert caught.value.retryable
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0
        await asyncio.sleep(0)  # nothing of the cancellation is left
        return time.monotonic() - started

    took_s: list[float] = []
    while len(took_s) < 30 and not (took_s and min(took_s) < 1.1):  # a busy machine is late with some
        took_s.append(asyncio.run(scene()))
    assert min(took_s) < 1.1
    assert is_free(path)
    assert read_lock_record(path) is None


@pytest.fixture
def long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late a busy machine cuts a body off, the watch is later."""
    monkeypatch.setattr(rules, "FREE_AFTER_S", 60.0)


@pytest.mark.usefixtures("long_grace")
def test_what_the_body_cleans_up_when_cut_off_is_still_under_the_lock(path: Path) -> None:
    seen: list[bool] = []

    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=0.05):
            try:
                await asyncio.sleep(3600)
            finally:
                seen.append(is_free(path))

    with pytest.raises(HoldCeilingReached):
        asyncio.run(scene())

    assert seen == [False]


@pytest.mark.usefixtures("long_grace")
def test_a_body_that_is_cut_off_can_save_what_it_has_in_hand(path: Path) -> None:
    saved: list[str] = []

    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=0.05) as hold:
            try:
                await asyncio.sleep(3600)
            finally:
                with pytest.raises(HoldCeilingReached):
                    hold.protect(lambda: saved.append("too late"))
                hold.protect(lambda: saved.append("grant"), in_grace=True)

    with pytest.raises(HoldCeilingReached):
        asyncio.run(scene())

    assert saved == ["grant"]
    assert is_free(path)


def test_a_body_that_will_not_end_loses_the_lock_and_cannot_write(path: Path) -> None:
    written: list[str] = []

    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=0.1) as hold:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                async with MachineFileLock(path, acquire_timeout_s=60) as next_one:  # it comes free within a second
                    next_one.protect(lambda: written.append("next"))
                    hold.protect(lambda: written.append("stubborn"))

    with pytest.raises(HoldCeilingReached):
        asyncio.run(scene())

    assert written == ["next"]


def test_a_body_that_swallows_the_cut_is_told_at_its_end(path: Path) -> None:
    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=0.05):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return

    with pytest.raises(HoldCeilingReached):
        asyncio.run(scene())

    assert is_free(path)


def test_a_body_that_blocks_the_loop_is_cut_off_when_it_comes_back(path: Path) -> None:
    freed: list[bool] = []

    async def scene() -> None:
        async with MachineFileLock(path, max_hold_s=0.1):
            with MachineFileLock(path, acquire_timeout_s=60):  # blocks the loop until the watch frees it
                freed.append(True)
            await asyncio.sleep(3600)

    with pytest.raises(HoldCeilingReached):
        asyncio.run(scene())

    assert freed
    assert is_free(path)


def test_a_cancellation_by_somebody_else_stays_one(path: Path) -> None:
    async def scene() -> None:
        entered = asyncio.Event()

        async def body() -> None:
            async with MachineFileLock(path):
                entered.set()
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(body())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_free(path)

    asyncio.run(scene())


def test_a_timeout_around_the_lock_is_a_timeout(path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), MachineFileLock(path):
                await asyncio.sleep(3600)
        with pytest.raises(HoldCeilingReached):
            async with asyncio.timeout(30), MachineFileLock(path, max_hold_s=0.05):
                await asyncio.sleep(3600)

    asyncio.run(scene())


def test_a_body_that_ends_in_time_is_not_cancelled_later(path: Path) -> None:
    async def scene(max_hold_s: float) -> bool:
        try:
            async with MachineFileLock(path, max_hold_s=max_hold_s):
                pass
        except HoldCeilingReached:
            return False  # the machine was slower than that
        hold = await MachineFileLock(path, max_hold_s=max_hold_s).__aenter__()
        hold.release()
        await asyncio.sleep(2 * max_hold_s)
        return True

    assert any(asyncio.run(scene(max_hold_s)) for max_hold_s in (0.05, 0.5, 5.0))


def test_a_cancelled_wait_leaves_nothing(path: Path) -> None:
    dice = random.Random(7)

    async def scene() -> None:
        lock = MachineFileLock(path, acquire_timeout_s=60)

        async def ask() -> MachineHold:
            async with lock as hold:
                await asyncio.sleep(0)
                return hold

        for _ in range(300):
            tasks = [asyncio.ensure_future(ask()) for _ in range(3)]
            await asyncio.sleep(dice.uniform(0, 0.003))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert is_free(path)
            assert read_lock_record(path) is None

    asyncio.run(scene())


def test_an_error_of_the_body_goes_on(path: Path) -> None:
    async def scene() -> None:
        async with MachineFileLock(path):
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        asyncio.run(scene())

    assert is_free(path)


def test_a_block_may_end_in_another_task_than_it_began_in(path: Path) -> None:
    async def scene() -> None:
        lock = MachineFileLock(path)
        await asyncio.ensure_future(lock.__aenter__())
        await asyncio.ensure_future(lock.__aexit__(None, None, None))
        assert is_free(path)
        with pytest.raises(UsageError, match="never entered"):
            await lock.__aexit__(None, None, None)

    asyncio.run(scene())


def test_two_tasks_of_one_thread_that_wait_across_a_sync_block_end_in_time(path: Path) -> None:
    """A `with` inside a task blocks the loop, so that the holder beside it cannot go on: the wait is bounded."""

    async def scene() -> None:
        async with MachineFileLock(path):
            with pytest.raises(LockAcquireTimeout, match="has it since"):
                MachineFileLock(path, acquire_timeout_s=0.05).acquire()

    asyncio.run(scene())
