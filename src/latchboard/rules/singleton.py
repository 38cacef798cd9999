"""Singleton: who may run as an agent type, what an entry says, and who may remove it; pure.

Law 1. A kernel lock decides, and nothing else: a pid, a file or an age never keeps anybody out or lets anybody in.
Law 2. Only types that are configured, the daemon, the supervisor and workers are restricted; others leave nothing.
Law 3. An entry is removed by its own process, by somebody who knows that nobody holds the lock, or by force.
Law 4. A break never touches the lock of a living process: it opens a new epoch, in which that process holds nothing.

Protocol: protocol/singleton.md.
"""

from __future__ import annotations

from latchboard.errors import AlreadyRunning, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Literal, TypeAlias

    Decision: TypeAlias = Literal["enter", "clean-and-enter", "break-and-enter", "refuse"]
    State: TypeAlias = Literal["free", "stale", "running"]
    Counts: TypeAlias = dict[str, dict[str, int]]

EVENTS = ("enforced", "blocked", "stale_cleaned", "cleaned")
"""What is counted, in the order in which metrics show it."""
DAEMON = "daemon"
"""Restricted whatever is configured (protocol/daemon.md, "Record")."""
SUPERVISOR = "supervisor"
"""The same (protocol/supervision.md, "Supervisor")."""
WORKER = "worker."
"""What the types of workers begin with: the same (protocol/worker.md, "Starting")."""
TYPE_LENGTH_MAX = 100
PID_MAX = 2**31 - 1
PID_BYTES_MAX = 64
"""More than any pid file of ours has; what is longer is none."""

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ALLOWED = _ALPHANUMERIC | frozenset("._-")
_DIGITS = frozenset(b"0123456789")


# -- names ------------------------------------------------------------------------------------------------------------


def check_type(agent_type: object) -> str:
    """The agent type, if it can be one: 1 to 100 of `A-Z a-z 0-9 . _ -`, the first a letter or a digit.

    It becomes part of a file's name, so nothing that leads out of the folder, ends a name early or hides a file passes.

    Raises:
        UsageError: It cannot be one.
    """
    if not isinstance(agent_type, str) or not _is_type(agent_type):
        raise UsageError(
            f"an agent type is 1 to {TYPE_LENGTH_MAX} letters, digits, dots, hyphens and underscores, and begins with "
            f"a letter or a digit; not {agent_type!r:.80}",
            hint="name it like code_developer",
        )
    return agent_type


def _is_type(name: str) -> bool:
    return 0 < len(name) <= TYPE_LENGTH_MAX and name[0] in _ALPHANUMERIC and _ALLOWED.issuperset(name)


def is_restricted(agent_type: str, types: Iterable[str]) -> bool:
    """Whether at most one process may run as this type: the configured ones, the daemon, the supervisor, workers."""
    return agent_type in (DAEMON, SUPERVISOR) or agent_type.startswith(WORKER) or agent_type in types


def is_of_machine(agent_type: str) -> bool:
    """Whether it is one on each machine, also where shared state spans machines: what serves its own machine."""
    return agent_type in (DAEMON, SUPERVISOR)


def lock_name(agent_type: str, epoch: int) -> str:
    """The file whose kernel lock decides in this epoch; a tilde is in no type, so no two types share a file."""
    return f"{agent_type}~{epoch}.lock" if epoch else f"{agent_type}.lock"


def newest_epoch(agent_type: str, names: Iterable[str]) -> int:
    """The epoch that counts, from the names of all files in the registry: the highest that has a lock file, else 0."""
    newest = 0
    for name in names:
        if name.startswith(f"{agent_type}~") and name.endswith(".lock"):
            number = name[len(agent_type) + 1 : -5]
            if number.isascii() and number.isdecimal() and number == str(int(number[:9])):
                newest = max(newest, int(number))
    return newest


def types_of(names: Iterable[str]) -> set[str]:
    """The types that have ever left a file in the registry."""
    found = set()
    for name in names:
        stem, _, ending = name.rpartition(".")
        agent_type = stem.partition("~")[0]
        if ending in ("lock", "pid", "json") and _is_type(agent_type):
            found.add(agent_type)
    return found


# -- entries ----------------------------------------------------------------------------------------------------------


def parse_pid(data: bytes | None) -> int | None:
    """The number in a pid file: digits, and nothing else but one line end; None for whatever else is there."""
    if data is None or len(data) > PID_BYTES_MAX:
        return None
    digits = data.removesuffix(b"\n")
    if not digits or not _DIGITS.issuperset(digits):
        return None
    number = int(digits)
    return number if 0 < number <= PID_MAX else None


def record(
    agent_type: str,
    epoch: int,
    *,
    process: Mapping[str, Any],
    started_at: str | None,
    registered: Mapping[str, Any],
    version: str,
    broke: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What `<type>.json` says about the process that holds the lock."""
    return {
        "format": 1,
        "agent_type": agent_type,
        "epoch": epoch,
        "process": dict(process),
        "started_at": started_at,
        "registered": dict(registered),
        "version": version,
        "broke": None if broke is None else dict(broke),
    }


def check_record(value: object, agent_type: str) -> str:
    """What is wrong with the content of `<type>.json`; "" when nothing is. It never decides who may run."""
    if not isinstance(value, dict):
        return "it is no JSON object"
    if value.get("format") != 1:
        return "it is of an unknown format"
    if value.get("agent_type") != agent_type:
        return "it is that of another type"
    process, epoch = value.get("process"), value.get("epoch")
    if type(epoch) is not int or epoch < 0:
        return "it has no epoch"
    if not isinstance(process, dict) or type(process.get("pid")) is not int or not 0 < process["pid"] <= PID_MAX:
        return "it names no process"
    return ""


def check_everywhere(value: Mapping[str, Any], agent_type: str) -> str:
    """What is wrong with the record of all machines; "" when nothing is."""
    why = check_record({**value, "epoch": 0}, agent_type)
    if why:
        return why
    if not isinstance(value["process"].get("presence"), str) or not value["process"]["presence"]:
        return "its process has no presence"
    return "" if isinstance(value.get("host_name"), str) else "it does not name its machine"


def facts(agent_type: str, value: Mapping[str, Any] | None, pid: int | None) -> dict[str, Any]:
    """What is known of an entry's process, for answers and errors: from the record, else from the pid file.

    `is_here`: it is proven that `pid` means that process to whoever asks, so that a person may be told to end it. An
    entry proves nothing, so it is false until somebody has looked.
    """
    known = value or {}
    process, registered = known.get("process"), known.get("registered")
    return {
        "agent_type": agent_type,
        "pid": process["pid"] if isinstance(process, dict) else pid,
        "started_at": _text(known.get("started_at")),
        "registered_at": _text(registered.get("at")) if isinstance(registered, dict) else None,
        "version": _text(known.get("version")),
        "process": process if isinstance(process, dict) else None,
        "is_here": False,
    }


def running(known: Mapping[str, Any], verdict: str | None, pids: Sequence[int]) -> dict[str, Any]:
    """The facts about the process that holds the lock.

    Args:
        known: What its entry says.
        verdict: About the process that the record names; None: there is no record.
        pids: Who holds the lock by what the kernel says; empty where it does not say, as of another container.

    An entry that is not that of the holder (somebody removed or wrote it) must not name an innocent process.
    """
    if verdict == "live" and (not pids or known["pid"] in pids):
        return {**known, "is_here": True}
    if verdict == "unknowable" and not pids:
        return dict(known)
    nobody = facts(known["agent_type"], None, None)
    return {**nobody, "pid": pids[0], "is_here": True} if pids else nobody


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# -- decisions --------------------------------------------------------------------------------------------------------


def decide(*, is_free: bool, is_left: bool, force: bool) -> Decision:
    """What a process that wants to run as a restricted type does.

    Args:
        is_free: It has just got the kernel lock of the newest epoch.
        is_left: There is an entry: with the lock free, that of a process that is gone.
        force: Whoever starts it wants it to run in any case.
    """
    if is_free:
        return "clean-and-enter" if is_left else "enter"
    return "break-and-enter" if force else "refuse"


def state(*, is_free: bool, is_left: bool) -> State:
    """How a restricted type stands."""
    if not is_free:
        return "running"
    return "stale" if is_left else "free"


def why_over(known: Mapping[str, Any], host_name: str) -> str:
    """Why a record of all machines is over, for people; `known` are its facts."""
    return f"process {known['pid']} on {host_name} has ended, or was cut off from the store"


def may_remove(value: Mapping[str, Any] | None, *, process: Mapping[str, Any], epoch: int, newest: int) -> bool:
    """Whether a process that held the lock of `epoch` may remove the entry: it is its own, or nobody's.

    Not when a later epoch was opened: then the entry is that of whoever broke in. Without a readable record the lock
    alone says whose it is.
    """
    return epoch == newest and (value is None or value.get("process") == process)


def why_stale(pid: int | None, verdict: str | None) -> str:
    """Why an entry whose lock is free is stale, for people.

    Args:
        pid: What the entry says; None: it says nothing that can be read.
        verdict: About the process that the record names; None: there is no record.
    """
    if pid is None:
        return "it could not be read, and nobody holds its lock"
    if verdict == "dead":
        return f"process {pid} has ended"
    if verdict == "recycled":
        return f"process {pid} has ended, and its number belongs to another one"
    return f"process {pid} does not hold its lock"


def already_running(known: Mapping[str, Any]) -> AlreadyRunning:
    """The refusal: what runs, as which process, since when, and what to do next."""
    agent_type, pid, since = known["agent_type"], known["pid"], known["started_at"] or known["registered_at"]
    who = "a process that its entry does not name" if pid is None else f"process {pid}"
    started = f", started {since}" if since else ""
    end = f"end it (kill {pid})" if known["is_here"] else "find and end it"
    if host_name := known.get("host_name"):
        who += f" on {host_name}"
        end += "" if known["is_here"] else " there"
    elif pid is not None and not known["is_here"]:
        who += " of another container or machine"
    return AlreadyRunning(
        f"{agent_type} is already running: {who}{started}",
        hint=f"wait until it ends, or {end}; `latchboard singleton status {agent_type}` shows it; "
        "to run beside it all the same: --force, or force=True",
        **known,
    )


# -- counting ---------------------------------------------------------------------------------------------------------


def counted(counts: object, agent_type: str, events: Iterable[str]) -> Counts:
    """The counts after some events; what cannot be read of those before counts as zero."""
    found = check_counts(counts)
    of_type = dict.fromkeys(EVENTS, 0) | found.get(agent_type, {})
    for event in events:
        of_type[event] += 1
    return {**found, agent_type: of_type}


def check_counts(counts: object) -> Counts:
    """The counts in what was stored, by type and event; whatever cannot be one is left out."""
    if not isinstance(counts, dict):
        return {}
    return {
        name: {e: n for e, n in of_type.items() if e in EVENTS and type(n) is int and n >= 0}
        for name, of_type in counts.items()
        if isinstance(of_type, dict) and _is_type(name)
    }
