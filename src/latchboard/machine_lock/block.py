"""Block: what a `with` block of a machine lock has to remember, and how a task's block is cut off.

asyncio is imported where a task needs it: threads go without.

Protocol: protocol/machine_lock.md, "The hold ceiling".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Task
    from typing import Any

    from latchboard.machine_lock.hold import MachineHold
    from latchboard.machine_lock.lock import MachineFileLock


class Block:
    """One entered block."""

    __slots__ = ("cut", "hold", "lock")

    def __init__(self, lock: MachineFileLock, hold: MachineHold, cut: Cut | None) -> None:
        self.lock = lock
        self.hold = hold
        self.cut = cut


_entered: dict[tuple[str, object], list[Block]] = {}
"""Every block that is entered, by path, and by thread or task; the innermost last."""


def enter(block: Block, owner: object) -> MachineHold:
    """Remember a block of a thread or task until it ends; its hold."""
    _entered.setdefault((block.lock.path, owner), []).append(block)
    return block.hold


def is_held_by(path: str, owner: object) -> bool:
    """Whether a block of this very thread or task has the lock."""
    return any(not block.hold.has_ended for block in _entered.get((path, owner), ()))


def leave(lock: MachineFileLock, owner: object) -> Block:
    """The block that ends. It may end in another task than it began in, as fixtures of tests do.

    Raises:
        UsageError: No block was entered.
    """
    mine = [(lock.path, owner)]
    for key in mine + [key for key in list(_entered) if key[0] == lock.path]:
        stack = _entered.get(key, [])
        for block in reversed(stack):
            if block.lock is lock:
                stack.remove(block)
                if not stack:
                    del _entered[key]
                return block
    raise UsageError(f"{lock.path}: a block ends that was never entered", path=lock.path)


class Cut:
    """Cancels the task whose block goes on beyond the ceiling, as `asyncio.timeout` does."""

    __slots__ = ("_asked_before", "_hold", "_is_sent", "_task", "_timer")

    def __init__(self, hold: MachineHold, task: Task[Any]) -> None:
        self._hold = hold
        self._task = task
        self._asked_before = task.cancelling()
        self._is_sent = False
        from asyncio import get_running_loop

        self._timer = get_running_loop().call_later(hold.remaining_s, self._send)

    def _send(self) -> None:
        if not self._hold.is_released:
            self._is_sent = True
            self._task.cancel()

    def end(self, kind: type[BaseException] | None) -> bool:
        """The block has ended; whether it was this that ended it, and nobody else has cancelled the task as well."""
        from asyncio import CancelledError

        self._timer.cancel()
        if not self._is_sent:
            return False
        is_only_this = self._task.uncancel() <= self._asked_before
        return is_only_this and kind is not None and issubclass(kind, CancelledError)
