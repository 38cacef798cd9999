"""Lock record: who holds a machine lock since when, for people and for the doctor; decides nothing.

Protocol: protocol/machine_lock.md, "The record" and "Force release".
"""

from __future__ import annotations

from latchboard.clock import SystemClock
from latchboard.host.lock_file import LockFiles
from latchboard.machine_lock.claim import Claim, checked_path
from latchboard.rules import machine_lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from latchboard.clock import Clock
    from latchboard.rules.machine_lock import MachineRecord


class LockRecord:
    """What stands in a lock file.

    Attributes:
        schema_version: 1.
        pid: Process of the holder, a number in its own pid namespace.
        started_at: When the hold began, RFC 3339.
        host: Name of the holder's machine, for people; "" when it says none.
        version: Version of the holder's library; "" when it says none.
        values: The record as it stands there.
    """

    __slots__ = ("_clock", "host", "pid", "schema_version", "started_at", "values", "version")

    def __init__(self, values: MachineRecord, clock: Clock | None = None) -> None:
        self.values = values
        self.schema_version = values["schema_version"]
        self.pid = values["pid"]
        self.started_at = values["started_at"]
        self.host = values["host"]
        self.version = values["version"]
        self._clock = clock or SystemClock()

    @property
    def age_s(self) -> float:
        """Seconds since the hold began, now; infinite when it says that it begins in the future."""
        return rules.age_s(self.values, self._clock.now())

    def is_stuck(self, threshold_s: float = 60.0) -> bool:
        """Whether it is as old as that. Says nothing about whether the lock is held."""
        return self.age_s >= threshold_s

    def __repr__(self) -> str:
        return f"LockRecord(pid={self.pid}, started_at={self.started_at!r}, host={self.host!r})"

    def __eq__(self, other: object) -> bool:
        return self.values == other.values if isinstance(other, LockRecord) else NotImplemented


def read_lock_record(path: str | os.PathLike[str], *, clock: Clock | None = None) -> LockRecord | None:
    """The record of a machine lock; None: nobody holds it, or what stands there is no record.

    Makes nothing and locks nothing. A record is there from just after a hold begins to just before it ends, and after
    a holder that was killed until the next one comes: a record alone does not mean that the lock is held.

    Raises:
        UsageError: The path cannot be one.
        StoreError: The file cannot be read, or it is no plain file.
    """
    files = LockFiles()
    data = files.read(checked_path(files, path), rules.FILE_BYTES_MAX)
    values = rules.parse_record(data) if data else None
    return None if values is None else LockRecord(values, clock)


def force_release(path: str | os.PathLike[str], *, only_if_age_s: float = 60.0, clock: Clock | None = None) -> bool:
    """Clear the record that a killed holder left behind. Never takes a lock from anybody, and unlinks nothing.

    Args:
        path: The lock file.
        only_if_age_s: Younger records are left alone, seconds.
        clock: For tests; the system's otherwise.

    Returns:
        True: there was a record of that age, nobody held the lock, and the record is cleared. False: the lock is held,
            or there is no record, or it is younger; nothing was changed.

    Raises:
        UsageError: The path cannot be one.
        StoreError: The files cannot be used.
    """
    files, clock = LockFiles(), clock or SystemClock()
    absolute = checked_path(files, path)
    if files.read(absolute, 1) is None:
        return False
    claim = Claim(files, absolute)
    try:
        is_free = claim.attempt()
        record = rules.parse_record(claim.content()) if is_free else None
        if not rules.may_force(record, clock.now(), is_held=not is_free, only_if_age_s=only_if_age_s):
            return False
        claim.write(b"")
        return True
    finally:
        claim.close()
