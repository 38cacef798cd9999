"""Async facade: the same locks for asyncio.

    me = AsyncAgent(board.agent("planner"))
    async with me.lock("src/a.py", wait_s_max=5) as hold:
        await hold.write("src/a.py", "...")

Law 1. A call runs in a thread of its own: a thousand tasks in line leave a thread for the one that gives back.
Law 2. A cancelled wait wakes its thread, which leaves the line; a grant that came at the same moment is taken back
before the cancellation goes on (failures 3.17).
Law 3. What changes something and has begun is finished, however often the task is cancelled meanwhile.

Taken back is only what the request itself did: what its agent held before, it holds after.

Protocol: protocol/lock.md, "Acquire".
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from latchboard.locks import Hold

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from latchboard.agent import Agent
    from latchboard.locks import Refusal

T = TypeVar("T")


class AsyncAgent:
    """One agent's handle for asyncio."""

    __slots__ = ("agent",)

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def lock(self, *paths: str, **how: Any) -> AsyncLock:
        """As `Agent.lock`, to be awaited or entered: `async with me.lock(...)`, or `hold = await me.lock(...)`.

        Raises:
            asyncio.CancelledError: The task was cancelled; nothing stays behind.
        """
        return AsyncLock(self.agent, paths, how)

    async def try_lock(self, *paths: str, **how: Any) -> AsyncHold | Refusal:
        """As `Agent.try_lock`: a hold, or a refusal (false) that says who is in the way."""
        outcome = await in_thread(partial(self.agent.try_lock, *paths, **how), undo=_take_back)
        return AsyncHold(outcome) if isinstance(outcome, Hold) else outcome

    async def renew(self) -> None:
        """As `Agent.renew`."""
        await in_thread(self.agent.renew)


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

    async def is_live(self) -> bool:
        """As `Hold.is_live`."""
        return await in_thread(self.hold.is_live)

    async def write(self, path: str, data: bytes | str) -> None:
        """As `Hold.write`."""
        await in_thread(partial(self.hold.write, path, data))

    async def renew(self) -> None:
        """As `Hold.renew`."""
        await in_thread(self.hold.renew)

    async def release(self) -> bool:
        """As `Hold.release`."""
        return await in_thread(self.hold.release)


class AsyncLock:
    """A lock that is being asked for; to be awaited, or entered once."""

    __slots__ = ("_agent", "_held", "_how", "_paths")

    def __init__(self, agent: Agent, paths: tuple[str, ...], how: dict[str, Any]) -> None:
        self._agent = agent
        self._paths = paths
        self._how = how
        self._held: AsyncHold | None = None

    def __await__(self) -> Generator[Any, None, AsyncHold]:
        return self._acquire().__await__()

    async def __aenter__(self) -> AsyncHold:
        self._held = await self._acquire()
        return self._held

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            await in_thread(partial(held.hold.__exit__, kind, exc, trace))

    async def _acquire(self) -> AsyncHold:
        told, tell = socket.socketpair()
        ask = partial(self._agent.lock, *self._paths, **self._how, cancel=told)

        def ask_and_close() -> Hold:
            try:
                return ask()
            finally:
                told.close()  # here, where nobody polls it any more

        def wake() -> None:
            try:
                tell.send(b"!")
            except OSError:  # it has come back already
                return

        try:
            return AsyncHold(await in_thread(ask_and_close, cancel=wake, undo=_take_back))
        finally:
            tell.close()


def _take_back(outcome: object) -> None:
    """Undo a grant that nobody will ever see."""
    if isinstance(outcome, Hold):
        outcome.undo()


async def in_thread(
    work: Callable[[], T], *, cancel: Callable[[], object] | None = None, undo: Callable[[T], None] | None = None
) -> T:
    """Run `work` in a thread of its own and to its end; for other facades, too.

    Args:
        work: The blocking call.
        cancel: Makes it come back soon; called when the task is cancelled.
        undo: What to do with its result when nobody will see it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            outcome: Any = work()
            deliver: Callable[[], None] = partial(_deliver, future, outcome)
        except BaseException as exc:  # noqa: BLE001 - handed to the task that asked
            outcome, deliver = None, partial(_fail, future, exc)
        try:
            loop.call_soon_threadsafe(deliver)
        except RuntimeError:  # the loop is closed: the task is gone
            if undo is not None:
                undo(outcome)

    threading.Thread(target=run, name="latchboard-call", daemon=True).start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if cancel is not None:
            cancel()
        await _end(future)
        if undo is not None and future.exception() is None:
            await _end(asyncio.ensure_future(in_thread(partial(undo, future.result()))))
        raise


async def _end(future: asyncio.Future[Any]) -> None:
    """Wait until it is done, whatever happens to the waiting task: whoever cancels hears of it from our caller."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()  # seen


def _deliver(future: asyncio.Future[T], outcome: T) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)
