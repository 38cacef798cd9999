"""Async facade: the same locks for asyncio; the one module that knows it.

    me = AsyncAgent(board.agent("planner"))
    async with me.lock("src/a.py", wait_s_max=5) as hold:
        await hold.write("src/a.py", "...")

Waiting happens in a thread. Cancelling the task wakes that thread, which leaves the line; a grant that came at the
same moment is
given back before the cancellation goes on (failures 3.17).

Protocol: protocol/lock.md, "Acquire".
"""

from __future__ import annotations

import asyncio
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from latchboard.agent import Agent
    from latchboard.locks import Hold


class AsyncAgent:
    """One agent's handle for asyncio."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def lock(self, *paths: str, **how: Any) -> AsyncLock:
        """As `Agent.lock`, to be awaited or entered: `async with me.lock(...)`, or `hold = await me.lock(...)`."""
        return AsyncLock(self._agent, paths, how)


class AsyncHold:
    """A hold whose calls do not block the loop.

    Attributes:
        hold: The hold itself: `token`, `tokens`, `names`, `waited_s`.
    """

    __slots__ = ("hold",)

    def __init__(self, hold: Hold) -> None:
        self.hold = hold

    @property
    def token(self) -> int:
        """The greatest of its tokens."""
        return self.hold.token

    async def write(self, path: str, data: bytes | str) -> None:
        """As `Hold.write`; once begun it is finished, also when the task is cancelled."""
        await _finish(asyncio.to_thread(self.hold.write, path, data))

    async def renew(self) -> None:
        """As `Hold.renew`."""
        await _finish(asyncio.to_thread(self.hold.renew))

    async def release(self) -> bool:
        """As `Hold.release`; once begun it is finished, also when the task is cancelled."""
        released: bool = await _finish(asyncio.to_thread(self.hold.release))
        return released


class AsyncLock:
    """A lock that is being asked for."""

    __slots__ = ("_agent", "_held", "_how", "_paths")

    def __init__(self, agent: Agent, paths: tuple[str, ...], how: dict[str, Any]) -> None:
        self._agent = agent
        self._paths = paths
        self._how = how
        self._held: AsyncHold | None = None

    def __await__(self) -> Any:
        return self._acquire().__await__()

    async def __aenter__(self) -> AsyncHold:
        self._held = await self._acquire()
        return self._held

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            await _finish(asyncio.to_thread(self._held.hold.__exit__, kind, exc, trace))

    async def _acquire(self) -> AsyncHold:
        """Wait in a thread; on cancellation wake it, let it come back, and give back what it brings."""
        told, tell = socket.socketpair()
        try:
            waiting = asyncio.ensure_future(
                asyncio.to_thread(self._agent.lock, *self._paths, **{**self._how, "cancel": told})
            )
            try:
                return AsyncHold(await asyncio.shield(waiting))
            except asyncio.CancelledError:
                tell.send(b"!")
                await _give_back(waiting)
                raise
        finally:
            told.close()
            tell.close()


async def _give_back(waiting: asyncio.Future[Hold]) -> None:
    """Let the thread come back, however often the task is cancelled meanwhile, and release what it was granted."""
    done = await _outcome(waiting)
    if done is None:
        await _outcome(asyncio.ensure_future(asyncio.to_thread(waiting.result().release)))


async def _finish(work: Any) -> Any:
    """Run to the end what must not be cut off, then let a cancellation that came meanwhile go on."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await _outcome(running)
        raise


async def _outcome(running: asyncio.Future[Any]) -> BaseException | None:
    """Wait for the end, whatever happens to the waiting task; the error it ended with, if any."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            continue  # whoever cancelled hears of it again from our caller
    return running.exception()
