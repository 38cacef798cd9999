"""Wait: one acquire of a machine lock, on its way; looks, and never waits itself.

Protocol: protocol/machine_lock.md, "Acquire".
"""

from __future__ import annotations

import logging  # here, not where it is needed: while the lock is held nothing is imported (host/lock_file.py, `name`)

from latchboard import __version__
from latchboard.clock import SystemClock
from latchboard.codec import encode, prepare_errors
from latchboard.errors import LockAcquireTimeout, StoreError, UsageError
from latchboard.host.lock_file import LockFiles
from latchboard.machine_lock.block import is_held_by
from latchboard.machine_lock.ceiling import Ceiling
from latchboard.machine_lock.claim import Claim
from latchboard.machine_lock.hold import MachineHold
from latchboard.machine_lock.record import LockRecord
from latchboard.rules import machine_lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.machine_lock.lock import MachineFileLock

clock = SystemClock()
files = LockFiles()
prepare_errors()  # of a lock file that says nothing, or nothing that can be read
ceiling = Ceiling(clock)  # one for the whole process
files.after_fork(ceiling.forget_all)


class Wait:
    """One acquire, on its way: looks, and never waits itself."""

    __slots__ = ("_claim", "_has_written", "_lock", "_owner", "_started_s", "_tries_count")

    def __init__(self, lock: MachineFileLock, owner: object) -> None:
        self._lock = lock
        self._owner = owner  # the thread or task
        self._claim = Claim(lock.files, lock.path)
        self._started_s = lock.clock.now().mono_s
        self._tries_count = 0
        self._has_written = False

    @property
    def waited_s(self) -> float:
        """Seconds since it began."""
        return self._lock.clock.now().mono_s - self._started_s

    def look(self) -> float:
        """Try once; zero: it is locked, else the seconds until the next look. Raises LockAcquireTimeout, StoreError."""
        if self._claim.attempt():
            return 0.0
        left_s = self._lock.acquire_timeout_s - self.waited_s
        if left_s <= 0:
            raise self._timeout()
        self._tries_count += 1
        dice = self._lock.clock.now().mono_s * 1e6 % 1.0  # what comes after the microsecond is as good as any
        return min(left_s, rules.pause_s(self._tries_count, dice)) + 1e-6

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
        values = rules.new_record(lock.clock.now(), pid=lock.files.pid(), host=lock.files.name(), version=__version__)
        self._has_written = True
        claim.write(encode(values).encode() + b"\n")
        hold = MachineHold(
            claim,
            LockRecord(values, lock.clock),
            adopted=None if left is None else LockRecord(left, lock.clock),
            waited_s=self.waited_s,
            max_hold_s=lock.max_hold_s,
            clock=lock.clock,
            ceiling=ceiling,
        )
        ceiling.watch(hold)
        if hold.adopted is not None:
            who = (hold.adopted.pid, hold.adopted.started_at)
            log = logging.getLogger("latchboard.machine_lock")
            log.warning("machine_lock.adopted path=%s pid=%d started_at=%s", lock.path, *who)
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
        if is_held_by(lock.path, self._owner):
            hint = "this very thread or task has it, and waited for itself: take it once, around everything"
        return LockAcquireTimeout(
            f"the machine lock {lock.path} was not free within {lock.acquire_timeout_s:g} s; {who}",
            hint=hint,
            **fields,
        )

    def _record(self) -> LockRecord | None:
        try:
            data = self._lock.files.read(self._lock.path, rules.FILE_BYTES_MAX)
        except StoreError:
            return None
        values = rules.parse_record(data) if data else None
        return None if values is None else LockRecord(values, self._lock.clock)
