"""One reading for all who asked before it began, and never an older one than was asked for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from latchboard.surface.web.shared import Shared


def test_who_asks_while_a_reading_runs_gets_the_next_one() -> None:
    numbers: list[int] = []
    go_on = threading.Semaphore(0)
    begun = threading.Semaphore(0)

    def make() -> bytes:
        numbers.append(len(numbers))
        begun.release()
        assert go_on.acquire(timeout=60)
        return b"%d" % numbers[-1]

    async def play() -> None:
        shared = Shared(make)
        first = asyncio.ensure_future(shared.get())
        await asyncio.to_thread(begun.acquire)
        later = [asyncio.ensure_future(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(numbers) == 1
        go_on.release(2)
        assert await first == b"0"
        assert set(await asyncio.gather(*later)) == {b"1"}
        assert len(numbers) == 2

    asyncio.run(play())


def test_one_who_gives_up_does_not_end_it_for_the_others_and_trouble_is_everybody_s() -> None:
    is_broken = True

    def make() -> bytes:
        if is_broken:
            raise OSError("gone")
        return b"here"

    async def play() -> None:
        nonlocal is_broken
        shared = Shared(make)
        gives_up, stays = (asyncio.ensure_future(shared.get()) for _ in range(2))
        await asyncio.sleep(0)
        gives_up.cancel()
        with pytest.raises(OSError, match="gone"):
            await stays
        is_broken = False
        assert await shared.get() == b"here"

    asyncio.run(play())
