"""Machine file lock: asks for a machine lock, as a thread or as a task.

Protocol: protocol/machine_lock.md, "Acquire" and "The hold ceiling".
"""

from __future__ import annotations

from _thread import get_ident

from latchboard.errors import UsageError
from latchboard.machine_lock import wait
from latchboard.machine_lock.block import Block, Cut, enter, leave
from latchboard.machine_lock.claim import checked_path
from latchboard.machine_lock.hold import MachineHold

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from types import TracebackType

    from latchboard.clock import Clock
    from latchboard.host.lock_file import LockFiles


class MachineFileLock:
    """A lock on one path of this machine. One object may be used by any number of tasks and threads.

    Args:
        path: The lock file; made, with its folder, when first needed, and never removed.
        max_hold_s: The hold ceiling, seconds.
        stale_after_s: A record as old as this is called stuck in messages. It decides nothing: law 1 of the package.
        acquire_timeout_s: Longest wait, seconds; 0 asks once.
        clock: For tests; the system's otherwise.
        files: For tests and other systems; this machine's otherwise.

    Raises:
        UsageError: The path or a number cannot be right.
    """

    __slots__ = ("acquire_timeout_s", "clock", "files", "max_hold_s", "path", "stale_after_s")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_hold_s: float = 10.0,
        stale_after_s: float = 60.0,
        acquire_timeout_s: float = 10.0,
        clock: Clock | None = None,
        files: LockFiles | None = None,
    ) -> None:
        self.clock: Clock = clock or wait.clock
        self.files = files or wait.files
        self.path = checked_path(self.files, path)
        self.max_hold_s = _seconds("max_hold_s", max_hold_s)
        self.stale_after_s = _seconds("stale_after_s", stale_after_s)
        self.acquire_timeout_s = _seconds("acquire_timeout_s", acquire_timeout_s, or_zero=True)

    def __repr__(self) -> str:
        return f"MachineFileLock({self.path!r})"

    def acquire(self) -> MachineHold:
        """Take the lock, waiting for up to `acquire_timeout_s`; blocks the thread. Give it back with `release()`.

        Raises:
            LockAcquireTimeout: Somebody else had it all the time; carries the path. Retryable; nothing was changed.
            UsageError: The file holds somebody's data.
            UnsafeFolder: What stands in the place of the lock file must not be used.
            StoreError: The system refused.
        """
        waiting = wait.Wait(self, get_ident())
        try:
            while (pause_s := waiting.look()) > 0:
                self.clock.wait((), pause_s)
            return waiting.hold()
        except BaseException:
            waiting.give_up()
            raise

    async def _acquire(self) -> MachineHold:
        """As `acquire`, for a task. Between the look that succeeds and the hold no task can be cancelled."""
        import asyncio

        waiting = wait.Wait(self, asyncio.current_task())
        try:
            while (pause_s := waiting.look()) > 0:  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(pause_s)
            return waiting.hold()
        except BaseException:
            waiting.give_up()
            raise

    def __enter__(self) -> MachineHold:
        return enter(Block(self, self.acquire(), None), get_ident())

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        leave(self, get_ident()).hold.close(exc)

    async def __aenter__(self) -> MachineHold:
        from asyncio import current_task

        task = current_task()
        hold = await self._acquire()
        return enter(Block(self, hold, Cut(hold, task) if task else None), task)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        from asyncio import current_task

        block = leave(self, current_task())
        if block.cut is not None and block.cut.end(kind):
            over = block.hold.over()
            block.hold.release()
            raise over from exc
        block.hold.close(exc)


def _seconds(name: str, value: float, *, or_zero: bool = False) -> float:
    kind: object = type(value)  # who calls us may have no type checker
    if kind not in (int, float) or not 0 <= value < 1e9 or (value == 0 and not or_zero):
        raise UsageError(f"{name} is a number of seconds above zero, not {value!r}")
    return float(value)
