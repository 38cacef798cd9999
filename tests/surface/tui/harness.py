"""What tests of the terminal board share: a project, the board over it, and what a person would see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.segment import Segment
from textual.pilot import Pilot

from latchboard.compose import Latchboard
from latchboard.surface.cli import telling
from latchboard.surface.tui.app import Board

WAIT_S_MAX = 60.0

HOSTILE = [
    "src/\x1b[2J\x1b[Hevil.py",
    "src/\x07bell\r\nforged.py",
    "src/\u05e2\u05d1\u05e8\u05d9\u05ea.py",
    "src/\u65e5\u672c\u8a9e\u306e\u9577\u3044\u540d\u524d.py",
    "src/\u202egnp.exe",
    "src/\U0001f469\u200d\U0001f469\u200d\U0001f467.py",
    "src/\u2764\ufe0f.py",
    "src/a" + "\u0301" * 60 + ".py",
    "src/\u200b\u2066\u2028\u0085.py",
    "src/" + "d" * 200 + "/" + "e" * 200 + ".py",
    "/".join(["f" * 15] * 250) + "/deep.py",
    "glob:src/**/*.\u65e5",
]
"""Names that want to steer a terminal, or that terminals do not agree about."""


class Scene:
    """A project, what agents do in it, and the terminal board.

    Attributes:
        board: The services, as another process of this machine has them.
        seen: The services of the terminal board.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.board = Latchboard(project, publishes=False)
        self.seen = Latchboard(project, publishes=False)

    def close(self) -> None:
        self.board.close()
        self.seen.close()

    def hold(self, agent: str, *paths: str, reason: str = "") -> Any:
        locks = self.board.locks
        return locks.acquire(locks.request(agent, paths, bound="agent", reason=reason))

    def ask(self, agent: str, *paths: str) -> None:
        """Stand in line, asking for it."""
        from latchboard.locks import handoff

        locks = self.board.locks
        handoff.ask_and_go(locks, locks.request(agent, paths, bound="agent", reason="mine next"))

    def busy(self) -> None:
        """Something in each list."""
        self.board.board.update("planner", "splitting the parser", ["src/core/a.py"])
        self.board.board.update("builder", "running the tests")
        self.hold("planner", "src/core/a.py", "src/core/b.py", reason="two modules")
        self.hold("builder", "docs/x.md", reason="the manual")
        self.ask("builder", "src/core/a.py")
        self.board.mailbox.send(
            "builder", "planner", "are you done?\nwith all of it?", subject="parser", ack="required"
        )

    def app(self, **options: Any) -> Board:
        return Board(self.seen, tell=telling.brief, **options)

    def run(
        self,
        steps: Callable[[Board, Pilot[int]], Awaitable[None]],
        *,
        size: tuple[int, int] = (160, 48),
        **options: Any,
    ) -> Board:
        """Do `steps` with a board on a screen of this size, once it has shown what there is."""
        app = self.app(**options)

        async def run() -> None:
            async with app.run_test(size=size, notifications=True) as pilot:
                await until(pilot, lambda: app._is_read or app._news.trouble)
                await pilot.pause()
                await steps(app, pilot)

        asyncio.run(run())
        return app


async def until(pilot: Pilot[int], is_so: Callable[[], object]) -> None:
    """Let the board go on until something is so."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not is_so():
        assert time.monotonic() < deadline, "\n".join(screen(pilot.app))
        await pilot.pause(0.01)


def strips(app: Any) -> list[list[Segment]]:
    """Every line of the screen, in pieces with their styles."""
    return [list(strip) for strip in app.screen._compositor.render_strips(app.size)]


def screen(app: Any) -> list[str]:
    """Every line of the screen."""
    return ["".join(segment.text for segment in line).rstrip() for line in strips(app)]


def said(app: Any) -> str:
    return "\n".join(screen(app))
