"""Table: the processes of this machine: one by its pid, or all with a word in their command line.

On Linux from /proc, file by file: a start-up has ten milliseconds. Elsewhere from psutil, which only this module
imports.

Guarantees that all that is told of a process belongs to one and the same: its start time is read before and after.
Does not show processes that /proc hides from this user.

Protocol: protocol/daemon.md, "Identity of a daemon".
"""

from __future__ import annotations

import os

from latchboard.errors import HostError
from latchboard.host.identity import Stat, read_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.port import Identity, Process

ARGV_BYTES_MAX = 128 * 1024
"""A longer command line counts as unreadable; no daemon's is."""


def look(pid: int, me: Identity, *, has_proc: bool) -> Process | None:
    """That process as it is now, seen by `me`; None when there is none.

    Raises:
        HostError: It cannot be known.
    """
    try:
        return _look_in_proc(pid, me) if has_proc else _look_by_psutil(pid, me)
    except (OSError, ValueError) as exc:
        raise HostError(f"cannot read process {pid}: {exc}", hint="mount /proc without hidepid here") from exc


def scan(word: str, me: Identity, *, has_proc: bool) -> list[Process]:
    """Every process with `word` among its arguments.

    Raises:
        HostError: Processes cannot be listed.
    """
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()] if has_proc else _pids_by_psutil()
    except OSError as exc:
        raise HostError(f"cannot list processes: {exc}", hint="mount /proc in this environment") from exc
    found = []
    for pid in pids:
        try:
            if has_proc and word not in _argv(pid):
                continue
            process = look(pid, me, has_proc=has_proc)
        except HostError:
            continue  # not for this user, hence not his
        if process is not None and word in process["argv"]:
            found.append(process)
    return found


def stat_by_psutil(pid: int) -> Stat | None:
    """What /proc would say, on systems without it; the start time is in centiseconds since 1970.

    Raises:
        OSError: The process exists, but its details are not for this user.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        start = round(process.create_time() * 100)
        is_zombie = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.ZombieProcess:  # a NoSuchProcess too, and as gone as that
        return None
    except psutil.NoSuchProcess:
        return None
    except psutil.Error as exc:
        raise OSError(str(exc)) from exc
    return Stat(pid, "Z" if is_zombie else "R", 0, start)


def addresses_by_psutil(pid: int) -> list[tuple[str, int]] | None:
    """Where it listens for TCP connections; None where that is not for this user."""
    import psutil

    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return None
    return [(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN]


def _look_in_proc(pid: int, me: Identity) -> Process | None:
    before = read_stat(pid)
    if before is None:
        return None
    parent, uid = _parent_and_uid(pid)
    process: Process = {
        "identity": {**me, "pid": pid, "pid_ns": _namespace(pid), "start": before.start},
        "parent": parent,
        "uid": uid,
        "argv": [] if before.is_dead else _argv(pid),
        "exe": _exe(pid),
    }
    after = read_stat(pid)
    if after is None:
        return None
    return process if after.start == before.start else _look_in_proc(pid, me)


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def _parent_and_uid(pid: int) -> tuple[int, int | None]:
    """Its parent's pid, and the user it acts as; not the owner of /proc/PID, which is root for some of anybody's."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.partition(b":")[::2] for line in file.read(8192).split(b"\n"))
        return int(lines[b"PPid"]), int(lines[b"Uid"].split()[1])
    except (OSError, KeyError, ValueError, IndexError):
        return 0, None


def _exe(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _argv(pid: int) -> list[str]:
    """Its arguments; empty when they cannot be read, are too long, or were written over by something else."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            data = file.read(ARGV_BYTES_MAX + 1)
    except OSError:
        return []
    if len(data) > ARGV_BYTES_MAX or not data.endswith(b"\0"):
        return []
    return [os.fsdecode(word) for word in data[:-1].split(b"\0")]


def _pids_by_psutil() -> list[int]:
    import psutil

    try:
        pids: list[int] = psutil.pids()
    except psutil.Error as exc:
        raise OSError(str(exc)) from exc
    return pids


def _look_by_psutil(pid: int, me: Identity) -> Process | None:
    import psutil

    before = stat_by_psutil(pid)
    if before is None:
        return None
    identity: Identity = {**me, "pid": pid, "start": before.start}
    process: Process = {"identity": identity, "parent": 0, "uid": None, "argv": [], "exe": ""}
    try:
        known = psutil.Process(pid)
        process["parent"] = known.ppid()
        process["uid"] = known.uids().effective
        process["argv"] = [] if before.is_dead else known.cmdline()
        process["exe"] = known.exe() or ""
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return process  # what could be read; the rest proves nothing
    after = stat_by_psutil(pid)
    return process if after is not None and after.start == before.start else None
