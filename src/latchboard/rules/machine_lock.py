"""Machine lock: what its record says, how old it is, and when a hold is over; pure.

Law 1. Who holds the lock is told by the kernel alone. Nothing here makes a held lock free: an age is told to people,
and it opens only what the kernel says is free already.
Law 2. A record that cannot be read is none. It is not an error, and it is not a holder.
Law 3. Within one boot ages are monotonic; a beginning in the future has no age that can be believed, and counts as
older than any limit.

Protocol: protocol/machine_lock.md.
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.codec import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypedDict

    from latchboard.clock import Now

    class MachineRecord(TypedDict, total=False):
        """What stands in the lock file while it is held; `mono_s` and `boot` may be missing."""

        schema_version: int
        pid: int
        started_at: str
        host: str
        version: str
        mono_s: float
        boot: str

    Place = Literal["same", "gone", "other"]
    Phase = Literal["within", "over", "spent"]

SCHEMA_VERSION = 1
FILE_BYTES_MAX = 65_536
"""A lock file is never longer: what is, is somebody's data and is not written over."""
NAME_BYTES_MAX = 240
"""Longest last part of a path, bytes: the anchor's name has 8 more, and file systems allow 255."""
PATH_BYTES_MAX = 4000
FREE_AFTER_S = 0.5
"""So long after the ceiling the kernel lock is freed whatever the body does; the promise is 1 s."""
PID_MAX = 2**31 - 1

_FIELDS = frozenset(("schema_version", "pid", "started_at", "host", "version"))
_FUTURE_S = 2.0  # wall clocks are stepped by less than this all the time
_MONO_S_END = 1e12
_PAUSE_S_MIN = 0.001
_PAUSE_S_MAX = 0.01


def new_record(now: Now, *, pid: int, host: str, version: str) -> MachineRecord:
    """The record of a hold that begins now."""
    return {
        "schema_version": SCHEMA_VERSION,
        "pid": pid,
        "started_at": iso(now.wall_s),
        "host": host,
        "version": version,
        "mono_s": round(now.mono_s, 6),
        "boot": now.boot,
    }


def parse_record(data: bytes) -> MachineRecord | None:
    """The record in a lock file; None for an empty file and for everything that is no record of version 1."""
    try:
        value = decode(data[:FILE_BYTES_MAX])
        parse_iso(value.get("started_at", ""))
    except ValueError:
        return None
    return _checked(value)


def _checked(value: dict[str, Any]) -> MachineRecord | None:
    version, pid = value.get("schema_version"), value.get("pid")
    if type(version) is not int or version != SCHEMA_VERSION or type(pid) is not int or not 0 < pid <= PID_MAX:
        return None
    record: MachineRecord = {
        "schema_version": version,
        "pid": pid,
        "started_at": value["started_at"],
        "host": _text(value.get("host")),
        "version": _text(value.get("version")),
    }
    mono_s, boot = value.get("mono_s"), value.get("boot")
    if isinstance(mono_s, int | float) and 0 <= mono_s < _MONO_S_END and isinstance(boot, str) and boot:
        record["mono_s"], record["boot"] = float(mono_s), boot
    return record


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def is_foreign(data: bytes) -> bool:
    """Whether a file holds somebody's data, so that it must not be used as a lock file.

    Rubbish is not foreign: what was torn by a crash is written over. Data are what is longer than any record, and a
    JSON object with fields, none of which is a record's.
    """
    if len(data) > FILE_BYTES_MAX:
        return True
    try:
        value = decode(data)
    except ValueError:
        return False
    return bool(value) and _FIELDS.isdisjoint(value)


def age_s(record: MachineRecord, now: Now) -> float:
    """Seconds since the hold began; infinite for a beginning in the future."""
    if record.get("boot") == now.boot:
        age = now.mono_s - record["mono_s"]
        tolerated_s = 0.001  # the record keeps microseconds; this clock never runs backwards
    else:
        age = now.wall_s - parse_iso(record["started_at"])
        tolerated_s = _FUTURE_S
    if age < -tolerated_s:
        return float("inf")
    return max(age, 0.0)


def may_force(record: MachineRecord | None, now: Now, *, is_held: bool, only_if_age_s: float) -> bool:
    """Whether an operator may clear the record: the kernel lock is free, and the record is there and old enough."""
    return not is_held and record is not None and age_s(record, now) >= only_if_age_s


def is_exclusive(lock_file: Place, anchor: Place) -> bool:
    """Whether a holder of both kernel locks still keeps everybody else out.

    Args:
        lock_file: What its path leads to now: the file it has locked, nothing, or another file.
        anchor: The same for the anchor.

    A newcomer needs both locks, so one of the two that is still in its place keeps it out. A lock file that was
    replaced may be held by a program that knows no anchor: that counts as lost.
    """
    return lock_file == "same" or (lock_file == "gone" and anchor == "same")


def phase(held_s: float, max_hold_s: float) -> Phase:
    """Where a hold stands: within its ceiling, over it (to be given back), or spent (the kernel lock is freed)."""
    if held_s < max_hold_s:
        return "within"
    return "over" if held_s < max_hold_s + FREE_AFTER_S else "spent"


def pause_s(tries_count: int, dice: float) -> float:
    """How long to wait before the next look: about 1 ms at first, 10 ms in the end; `dice` (0 to 1) spreads waiters."""
    return float(min(_PAUSE_S_MIN * 1.3 ** min(tries_count, 20), _PAUSE_S_MAX)) * (0.6 + 0.8 * dice)


def wrong_with_path(path: bytes) -> str:
    """What is wrong with the path of a lock file; empty: nothing."""
    name = path.rpartition(b"/")[2]
    if not path:
        return "it is empty"
    if b"\0" in path:
        return "it has a NUL in it"
    if name in (b"", b".", b".."):
        return "it names a folder"
    if len(name) > NAME_BYTES_MAX or len(path) > PATH_BYTES_MAX:
        return f"it is too long: its name may have {NAME_BYTES_MAX} bytes, all of it {PATH_BYTES_MAX}"
    return ""
