"""Machine lock: one task, thread or process at a time on this machine, for a few seconds, around one path.

    async with MachineFileLock(path) as hold:      # or: with MachineFileLock(path) as hold:
        grant = await renew()
        hold.protect(lambda: save(grant))          # only if the lock is still ours, and it is not freed meanwhile

Law 1. Whoever holds the kernel lock holds the lock. However old a record is, and whatever it says, a held lock is
never taken over; a free one is taken at once, whatever its record says.
Law 2. Two kernel locks are needed, on the lock file and on the anchor beside it: deleting one of them while the lock
is held lets nobody else in. Nothing of it is ever unlinked here.
Law 3. A hold ends at its ceiling. Tasks are cut off (their body is cancelled); a thread cannot be, so its `check` and
`protect` refuse. Half a second later the kernel lock is freed, whatever the body does.
Law 4. Nobody passes twice: `check`, `protect` and the end of the block fail for a holder that may have lost its lock.

Guarantees nothing across machines, and not against programs that neither ask nor check. Holds are not in line: who
looks first when the lock is free has it.

Protocol: protocol/machine_lock.md.
"""

from __future__ import annotations

from latchboard.errors import HoldCeilingReached, LockAcquireTimeout, LockFileGone
from latchboard.machine_lock.hold import MachineHold
from latchboard.machine_lock.lock import MachineFileLock
from latchboard.machine_lock.record import LockRecord, force_release, read_lock_record

__all__ = [
    "HoldCeilingReached",
    "LockAcquireTimeout",
    "LockFileGone",
    "LockRecord",
    "MachineFileLock",
    "MachineHold",
    "force_release",
    "read_lock_record",
]
