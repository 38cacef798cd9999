"""Top: how long a frame of the terminal board takes, and how soon it shows a change, with ten thousand locks."""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import Any

from benchmarks.measure import goal, percentile, sample
from latchboard import Latchboard
from latchboard.surface.cli import telling
from latchboard.surface.tui import settle
from latchboard.surface.tui.app import Board

LOCKS = 10_000
FRAME_MS_MAX = 34.0
CHANGE_MS_MAX = 500.0
_SIZE = (160, 48)
_PAUSE_S = 0.3


def top(rounds: int) -> dict[str, Any]:
    """Frames of the whole screen, and changes of a lock in another process's stead."""
    with tempfile.TemporaryDirectory() as folder:
        writer, reader = Latchboard(folder, publishes=False), Latchboard(folder, publishes=False)
        for part in range(0, LOCKS, 500):
            names = [f"src/{part // 1000}/{number % 97}/{number}.py" for number in range(part, part + 500)]
            writer.locks.acquire(writer.locks.request(f"agent-{part % 8}", names, bound="agent"))
        app = Board(reader, tell=telling.brief, on_read=settle)
        first_s, frames, changes = asyncio.run(_measured(app, writer, rounds))
        reader.close()
        writer.close()
    frame_ms, change_ms = percentile(frames, 0.95) * 1e3, percentile(changes, 0.5) * 1e3
    return {
        "name": "top",
        "figures": {
            f"{LOCKS} locks": {
                "first_picture_ms": round(first_s * 1e3),
                "frame_p50_ms": round(percentile(frames, 0.5) * 1e3, 1),
                "frame_p95_ms": round(frame_ms, 1),
                "change_p50_ms": round(change_ms, 1),
                "change_p95_ms": round(percentile(changes, 0.95) * 1e3, 1),
            }
        },
        "goals": [
            goal("a frame, p95 ms", round(frame_ms, 1), FRAME_MS_MAX),
            goal("a change is seen, p50 ms", round(change_ms, 1), CHANGE_MS_MAX),
        ],
    }


async def _measured(app: Board, writer: Latchboard, rounds: int) -> tuple[float, list[float], list[float]]:
    began_s = time.perf_counter()
    async with app.run_test(size=_SIZE) as pilot:
        while not app.picture.locks:  # noqa: ASYNC110 - what is measured is when a person sees it
            await asyncio.sleep(0.005)
        first_s = time.perf_counter() - began_s
        await pilot.pause()
        frames = sample(lambda: app.screen._compositor.render_strips(app.size), rounds=5 * rounds)
        changes = []
        for number in range(rounds):
            await asyncio.sleep(_PAUSE_S)
            request = writer.locks.request("late", [f"zz/{number}.py"], bound="agent")
            await asyncio.to_thread(writer.locks.acquire, request)
            committed_s = time.perf_counter()
            while app.picture.locks[-1]["name"] != f"zz/{number}.py":  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.002)
            changes.append(time.perf_counter() - committed_s)
        return first_s, frames, changes[1:]
