"""Entry: the files of one agent type as they are read and written, and how the type stands.

Protocol: protocol/singleton.md, "Files" and "States".
"""

from __future__ import annotations

from latchboard import __version__, codec
from latchboard.clock import iso
from latchboard.rules import lease
from latchboard.rules import singleton as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.host.desk import Desk, Registry
    from latchboard.host.port import Host
    from latchboard.singleton.registration import Held


def read(desk: Desk, agent_type: str) -> tuple[dict[str, Any] | None, int | None, bool]:
    """The record (None: none that can be read), the number in the pid file, and whether anything is there."""
    pid_data, data = desk.read(f"{agent_type}.pid"), desk.read(f"{agent_type}.json")
    is_left = pid_data is not None or data is not None
    try:
        value: dict[str, Any] | None = codec.decode(data or b"")
        codec.encode(value)  # what cannot be written again, a lone surrogate, cannot be told either
    except ValueError:
        value = None
    return None if rules.check_record(value, agent_type) else value, rules.parse_pid(pid_data), is_left


def write(desk: Desk, held: Held, now: Now, started_s: float | None) -> None:
    """Write the entry of a process that has just taken its lock."""
    record = rules.record(
        held.agent_type,
        held.seat.epoch,
        process=held.process,
        started_at=None if started_s is None else iso(started_s),
        registered=lease.moment(now),
        version=__version__,
        broke=held.broke,
    )
    desk.write(f"{held.agent_type}.json", f"{codec.encode(record)}\n".encode())
    desk.write(f"{held.agent_type}.pid", b"%d\n" % held.process["pid"])


def remove(desk: Desk, agent_type: str) -> None:
    """Remove it, the part that scripts read first."""
    desk.remove(f"{agent_type}.pid")
    desk.remove(f"{agent_type}.json")


def is_own(desk: Desk, held: Held) -> bool:
    """Whether this process may remove it."""
    value, _, _ = read(desk, held.agent_type)
    newest = rules.newest_epoch(held.agent_type, desk.names())
    return rules.may_remove(value, process=held.process, epoch=held.seat.epoch, newest=newest)


def running(registry: Registry, host: Host, known: dict[str, Any], lock_name: str) -> dict[str, Any]:
    """The facts about the process that holds the lock: by its entry where that is true, else by the kernel."""
    verdict = None if known["process"] is None else host.verdict(known["process"])
    pids = [] if verdict == "live" else registry.pids_at(lock_name)
    return rules.running(known, verdict, pids)


def standing(registry: Registry, host: Host, desk: Desk | None, agent_type: str) -> dict[str, Any]:
    """How a type stands: the facts of its entry, `state`, `verdict`, `epoch`, and `why` an entry is stale."""
    is_free, value, pid, is_left, epoch = True, None, None, False, 0
    if desk is not None:
        epoch = rules.newest_epoch(agent_type, desk.names())
        is_free = desk.is_free(rules.lock_name(agent_type, epoch))
        value, pid, is_left = read(desk, agent_type)
    state = rules.state(is_free=is_free, is_left=is_left)
    known = rules.facts(agent_type, value, pid)
    if state == "running":
        known = running(registry, host, known, rules.lock_name(agent_type, epoch))
    verdict = None if known["process"] is None else host.verdict(known["process"])
    why = rules.why_stale(known["pid"], verdict) if state == "stale" else None
    return {**known, "state": state, "verdict": verdict, "epoch": epoch, "why": why}
