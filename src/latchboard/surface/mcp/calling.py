"""Calling: the desk from an event loop: in threads, cancelled without a trace, and mail taken when it has arrived.

A call runs in a thread of its own (aio.py), so that one that waits holds nobody up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from latchboard.aio import in_thread
from latchboard.errors import CoordinationError
from latchboard.surface.mcp.desk import Desk
from latchboard.surface.mcp.identity import Caller
from latchboard.surface.mcp.work import Outcome

_log = logging.getLogger("latchboard.mcp")


async def call(
    desk: Desk, name: str, given: object, *, caller: Caller, offered: Iterable[str], tell: Callable[[str], None]
) -> Outcome:
    """As `Desk.call`. `tell` is called in the loop.

    Raises:
        asyncio.CancelledError: The task was cancelled; no place in line and no grant is left.
        CoordinationError: As for `Desk.call`.
    """
    told, waking = socket.socketpair()
    loop = asyncio.get_running_loop()

    def say(sentence: str) -> None:
        loop.call_soon_threadsafe(tell, sentence)

    def work() -> Outcome:
        try:
            return desk.call(name, given, caller=caller, offered=offered, cancel=told, tell=say)
        finally:
            told.close()  # here, where nobody polls it any more

    try:
        return await in_thread(work, cancel=partial(_wake, waking), undo=_take_back)
    finally:
        waking.close()


def _wake(waking: socket.socket) -> None:
    try:
        waking.send(b"!")
    except OSError:  # it has come back already
        return


def _take_back(outcome: object) -> None:
    """Undo a grant that nobody will ever see."""
    if isinstance(outcome, Outcome) and outcome.hold is not None:
        outcome.hold.undo()


class Taking:
    """Mail that has been handed on, and is taken as soon as the answer with it has been written."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._going: set[asyncio.Future[None]] = set()

    async def settle(self) -> None:
        """Until what was handed on is taken: it must not be shown again."""
        if self._going:
            await asyncio.wait(self._going)

    def take_later(self, agent: str, handed_on: frozenset[str]) -> None:
        """Take messages once the task of this request has ended: then its answer has been written."""
        task = asyncio.current_task()
        assert task is not None, "a request is handled in a task"

        def arrived(done: asyncio.Task[Any]) -> None:
            if not done.cancelled():
                going = asyncio.ensure_future(self._take(agent, handed_on))
                self._going.add(going)
                going.add_done_callback(self._going.discard)

        task.add_done_callback(arrived)

    async def _take(self, agent: str, handed_on: frozenset[str]) -> None:
        try:
            await in_thread(partial(self._desk.take, agent, handed_on))
        except CoordinationError as exc:
            _log.warning("mail of %a is shown again: %s", agent, exc.message)
