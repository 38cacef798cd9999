"""Machine file lock: asks for a machine lock, as a thread or as a task.

Protocol: protocol/machine_lock.md, "Acquire" and "The hold ceiling".
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading

from latchboard import __version__
from latchboard.clock import SystemClock
from latchboard.codec import encode
from latchboard.errors import LockAcquireTimeout, StoreError, UsageError
from latchboard.host.lock_file import LockFiles
from latchboard.machine_lock.ceiling import Ceiling
from latchboard.machine_lock.claim import Claim, checked_path
from latchboard.machine_lock.hold import MachineHold
from latchboard.machine_lock.record import LockRecord
from latchboard.rules import machine_lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Any

    from latchboard.clock import Clock

_log = logging.getLogger("latchboard.machine_lock")
_clock = SystemClock()
_files = LockFiles()
_ceiling = Ceiling(_clock)
_files.after_fork(_ceiling.forget_all)


class MachineFileLock:
    """A lock on one path of this machine. One object may be used by any number of tasks and threads.

    Args:
        path: The lock file; made, with its folder, when first needed, and never removed.
        max_hold_s: The hold ceiling, seconds.
        stale_after_s: A record as old as this is called stuck in messages. It decides nothing: law 1 of the package.
        acquire_timeout_s: Longest wait, seconds; 0 asks once.

    Raises:
        UsageError: The path or a number cannot be right.
    """

    __slots__ = ("_clock", "_files", "acquire_timeout_s", "max_hold_s", "path", "stale_after_s")

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
        self._clock: Clock = clock or _clock
        self._files = files or _files
        self.path = checked_path(self._files, path)
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
        wait = _Wait(self, threading.get_ident())
        try:
            while (pause_s := wait.look()) > 0:
                self._clock.wait((), pause_s)
            return wait.hold()
        except BaseException:
            wait.give_up()
            raise

    async def _acquire(self) -> MachineHold:
        """As `acquire`, for a task. Between the look that succeeds and the hold no task can be cancelled."""
        wait = _Wait(self, asyncio.current_task())
        try:
            while (pause_s := wait.look()) > 0:  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(pause_s)
            return wait.hold()
        except BaseException:
            wait.give_up()
            raise

    def __enter__(self) -> MachineHold:
        hold = self.acquire()
        _blocks[self.path, threading.get_ident()] = _Block(self, hold, None)
        return hold

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        block = self._leave(threading.get_ident())
        if block is not None:
            block.hold.close(exc)

    async def __aenter__(self) -> MachineHold:
        task = asyncio.current_task()
        hold = await self._acquire()
        _blocks[self.path, task] = _Block(self, hold, _Cut(hold, task) if task else None)
        return hold

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        block = self._leave(asyncio.current_task())
        if block is None:
            return
        if block.cut is not None and block.cut.end(kind):
            over = block.hold.over()
            block.hold.release()
            raise over from exc
        block.hold.close(exc)

    def _leave(self, owner: object) -> _Block | None:
        """The block that ends. It may end in another task than it began in, as fixtures of tests do."""
        key: tuple[str, object] | None = (self.path, owner)
        if key not in _blocks:
            key = next((key for key, block in _blocks.items() if block.lock is self), None)
        return None if key is None else _blocks.pop(key)


class _Block:
    """One entered block."""

    __slots__ = ("cut", "hold", "lock")

    def __init__(self, lock: MachineFileLock, hold: MachineHold, cut: _Cut | None) -> None:
        self.lock = lock
        self.hold = hold
        self.cut = cut


_blocks: dict[tuple[str, object], _Block] = {}  # by path, and by thread or task


class _Cut:
    """Cancels the task whose block goes on beyond the ceiling, as `asyncio.timeout` does."""

    __slots__ = ("_asked_before", "_hold", "_is_sent", "_task", "_timer")

    def __init__(self, hold: MachineHold, task: asyncio.Task[Any]) -> None:
        self._hold = hold
        self._task = task
        self._asked_before = task.cancelling()
        self._is_sent = False
        self._timer = asyncio.get_running_loop().call_later(hold.remaining_s, self._send)

    def _send(self) -> None:
        if not self._hold.is_released:
            self._is_sent = True
            self._task.cancel()

    def end(self, kind: type[BaseException] | None) -> bool:
        """The block has ended; whether it was this that ended it, and nobody else has cancelled the task as well."""
        self._timer.cancel()
        if not self._is_sent:
            return False
        is_only_this = self._task.uncancel() <= self._asked_before
        return is_only_this and kind is not None and issubclass(kind, asyncio.CancelledError)


class _Wait:
    """One acquire, on its way: looks, and never waits itself."""

    __slots__ = ("_claim", "_has_written", "_lock", "_owner", "_started_s", "_tries_count")

    def __init__(self, lock: MachineFileLock, owner: object) -> None:
        self._lock = lock
        self._owner = owner  # the thread or task
        self._claim = Claim(lock._files, lock.path)
        self._started_s = lock._clock.now().mono_s
        self._tries_count = 0
        self._has_written = False

    @property
    def waited_s(self) -> float:
        return self._lock._clock.now().mono_s - self._started_s

    def look(self) -> float:
        """Try once; zero: it is locked, else the seconds until the next look. Raises LockAcquireTimeout, StoreError."""
        if self._claim.attempt():
            return 0.0
        left_s = self._lock.acquire_timeout_s - self.waited_s
        if left_s <= 0:
            raise self._timeout()
        self._tries_count += 1
        return min(left_s, rules.pause_s(self._tries_count) * random.uniform(0.6, 1.4)) + 1e-6

    def hold(self) -> MachineHold:
        """What is locked, as a hold, with its record written."""
        lock, claim = self._lock, self._claim
        data = claim.content()
        if rules.is_foreign(data):
            raise UsageError(
                f"{lock.path} holds data that are no lock's; they were left as they are",
                hint="give the lock a file of its own",
                path=lock.path,
            )
        left = rules.parse_record(data)
        values = rules.new_record(
            lock._clock.now(), pid=lock._files.pid(), host=lock._files.name(), version=__version__
        )
        self._has_written = True
        claim.write(encode(values).encode() + b"\n")
        hold = MachineHold(
            claim,
            LockRecord(values, lock._clock),
            adopted=None if left is None else LockRecord(left, lock._clock),
            waited_s=self.waited_s,
            max_hold_s=lock.max_hold_s,
            clock=lock._clock,
            ceiling=_ceiling,
        )
        _ceiling.watch(hold)
        if hold.adopted is not None:
            who = (hold.adopted.pid, hold.adopted.started_at)
            _log.warning("machine_lock.adopted path=%s pid=%d started_at=%s", lock.path, *who)
        return hold

    def give_up(self) -> None:
        """Leave nothing behind."""
        try:
            if self._has_written:
                self._claim.write(b"")
        finally:
            self._claim.close()

    def _timeout(self) -> LockAcquireTimeout:
        self._claim.close()
        lock, waited_s = self._lock, round(self.waited_s, 3)
        record = self._record()
        fields: dict[str, Any] = {"path": lock.path, "waited_s": waited_s}
        who = "who has it cannot be told from its record"
        if record is not None:
            fields |= {"pid": record.pid, "started_at": record.started_at, "host": record.host}
            who = f"process {record.pid} on {record.host or 'this machine'} has it since {record.started_at}"
            if record.is_stuck(lock.stale_after_s):
                who += f", longer than {lock.stale_after_s:g} s: it may be stuck"
        hint = "try again; if that process hangs, end it: the lock is free as soon as it has ended"
        block = _blocks.get((lock.path, self._owner))
        if block is not None and not block.hold.has_ended:
            hint = "this very thread or task has it, and waited for itself: take it once, around everything"
        return LockAcquireTimeout(
            f"the machine lock {lock.path} was not free within {lock.acquire_timeout_s:g} s; {who}",
            hint=hint,
            **fields,
        )

    def _record(self) -> LockRecord | None:
        try:
            data = self._lock._files.read(self._lock.path, rules.FILE_BYTES_MAX)
        except StoreError:
            return None
        values = rules.parse_record(data) if data else None
        return None if values is None else LockRecord(values, self._lock._clock)


def _seconds(name: str, value: float, *, or_zero: bool = False) -> float:
    kind: object = type(value)  # who calls us may have no type checker
    if kind not in (int, float) or not 0 <= value < 1e9 or (value == 0 and not or_zero):
        raise UsageError(f"{name} is a number of seconds above zero, not {value!r}")
    return float(value)
