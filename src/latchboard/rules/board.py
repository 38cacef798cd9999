"""Board: who does what, folded from the store's changes; pure.

Law 1. The board is derived: it holds nothing that is not in records or in the journal, and nothing reads it to decide.
Law 2. Folding commit by commit gives what folding them all at once gives.
Law 3. A hold that is over is not active: expired by `now`, or bound to a process that `judge` says is gone.
Law 4. A record that cannot be read is shown as damaged; it is never left out in silence.

Entries are plain objects, made once and never changed, so that whoever writes the board may keep their text.

Protocol: protocol/board.md.
"""

from __future__ import annotations

from collections import deque

from latchboard.clock import iso, parse_iso
from latchboard.codec import decode
from latchboard.rules import lease as leases
from latchboard.rules import lock as locks
from latchboard.rules.holding import host_name_of
from latchboard.rules.known import Known, pid_of
from latchboard.rules.watch import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.known import Change
    from latchboard.rules.lock import Holding, Judge, LockRecord
    from latchboard.rules.watch import Event


VERSION = 1
COLLECTIONS = ("agents/", "leases/", "locks/", "waiters/")
"""What a snapshot must hold for `begin`."""

_MODIFIED = ("file.written", "lock.released", "lock.taken_over", "lock.broken", "lock.ended", "hold.lost")
_CONFLICTS = {
    "lock.refused": "refused",
    "lock.deadlock": "deadlock",
    "lock.waiting": "waiting",
    "lock.wait_ended": "wait_ended",
    "lock.taken_over": "taken_over",
    "lock.broken": "broken",
    "file.conflict": "",  # it says its kind itself
}


class State:
    """The board at one revision; changed by `apply` alone.

    Attributes:
        revision: Of the last commit in it.
        at: Time of that commit, ISO 8601 UTC; empty when none was seen.
        known: The records.
        history, conflicts, messages: What is shown, oldest first, the newest `history_count` of each.
        holds_of: Agent to the names it holds.
        waits_of: Agent to its requests that wait.
        touched: `locks/<name>` and `agents/<id>` that may look different since somebody cleared it.
    """

    __slots__ = (
        "_names_of_lease",
        "at",
        "conflicts",
        "history",
        "holds_of",
        "known",
        "messages",
        "revision",
        "touched",
        "waits_of",
    )

    def __init__(self, history_count: int) -> None:
        self.revision = 0
        self.at = ""
        self.known = Known()
        self.history: deque[Event] = deque(maxlen=history_count)
        self.conflicts: deque[Event] = deque(maxlen=history_count)
        self.messages: deque[Event] = deque(maxlen=history_count)
        self.holds_of: dict[str, dict[str, None]] = {}
        self.waits_of: dict[str, dict[str, None]] = {}
        self.touched: set[str] = set()
        self._names_of_lease: dict[str, dict[str, None]] = {}

    def learn(self, records: Iterable[tuple[str, dict[str, Any] | None]]) -> None:
        """Take in records as they are; tells nothing."""
        for key, value in records:
            before, after = self.known.learn(key, value)
            self._index(key, before, after)

    def _index(self, key: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        """Keep what is asked by agent and by lease."""
        collection, _, name = key.partition("/")
        if collection == "locks":
            self.touched.add(key)
            for held in before["holders"] if before else ():
                _unlink(self.holds_of, held["agent"], name)
                _unlink(self._names_of_lease, held["lease"], name)
                self.touched.add(f"agents/{held['agent']}")
            for held in after["holders"] if after else ():
                self.holds_of.setdefault(held["agent"], {})[name] = None
                self._names_of_lease.setdefault(held["lease"], {})[name] = None
                self.touched.add(f"agents/{held['agent']}")
        elif collection == "waiters":
            for waiter in (before, after):
                if waiter is not None:
                    self.touched.add(f"agents/{waiter['agent']}")
            if before is not None:
                _unlink(self.waits_of, before["agent"], name)
            if after is not None:
                self.waits_of.setdefault(after["agent"], {})[name] = None
        elif collection == "leases":
            self.touched.update(f"locks/{held}" for held in self._names_of_lease.get(name, ()))
        elif collection == "agents":
            self.touched.add(key)


def apply(state: State, commit: Sequence[Change]) -> list[Event]:
    """Fold one commit in; returns what it means.

    A commit that is in the state already changes nothing but tells its traces.
    """
    before = {
        change.key: getattr(state.known, collection).get(name)
        for change in commit
        for collection, _, name in (change.key.partition("/"),)
        if f"{collection}/" in COLLECTIONS
    }
    found = events(state.known, commit)
    for key, was in before.items():
        collection, _, name = key.partition("/")
        state._index(key, was, getattr(state.known, collection).get(name))
    state.revision = max(state.revision, commit[0].revision)
    state.at = commit[0].at
    for event in found:
        kind = event["event"]
        if kind in _MODIFIED:
            state.history.append(event)
        if is_conflict(event):
            state.conflicts.append(conflict(event))
        elif kind == "message.sent":
            state.messages.append(header(event))
    return found


def conflict(event: Event) -> dict[str, Any]:
    """An event in which two sides met, with both sides named: who asked, and who had it."""
    kind = _CONFLICTS[event["event"]] or event["kind"]
    entry = {"kind": kind, "revision": event["revision"], "at": event["at"]}
    if kind not in ("taken_over", "broken"):
        held_by = event["blocked_by"] if kind == "waiting" else event["held_by"]
        return {
            **entry,
            "names": event["names"],
            "asked_by": event["agent"],
            "held_by": held_by,
            "why": event["reason"],
        }
    held = {"agent": event["agent"], "mode": event["mode"], "token": event["token"], "held_s": event["held_s"]}
    return {**entry, "names": [event["name"]], "asked_by": event["by"], "held_by": [held], "why": event["why"]}


def is_conflict(event: Event) -> bool:
    """Whether two sides met in it. Of waits that end, only those that ended in vain say who had it."""
    return event["event"] in _CONFLICTS and (event["event"] != "lock.wait_ended" or bool(event["held_by"]))


def header(event: Event) -> dict[str, Any]:
    """A message as the board shows it: its beginning, never the whole of it."""
    shown = {field: event[field] for field in ("id", "from", "to", "subject", "urgency", "at")}
    return {**shown, "message": event["excerpt"]}


def read_head(data: bytes) -> int | None:
    """The revision of a board that somebody wrote; None for anything that does not begin like one.

    A hint of what need not be written, never taken for true.
    """
    line = data.split(b"\n", 1)[0].strip()
    try:
        head = decode(line.removesuffix(b",") + b"}")
    except ValueError:
        return None
    revision = head.get("revision")
    return revision if head.get("version") == VERSION and type(revision) is int and revision >= 0 else None


# -- showing ----------------------------------------------------------------------------------------------------------


def render(state: State, now: Now, *, judge: Judge, quiet_s: float) -> dict[str, Any]:
    """The board as one object: `status_board.json` (protocol/schema/status_board.json).

    Args:
        state: What is shown.
        now: Ages and expiry are by it.
        judge: Verdicts about the processes of holders.
        quiet_s: An agent without a heartbeat for longer is quiet, seconds.
    """
    active: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    for name in sorted(state.known.locks):
        for why, entry in lock_entries(state, name, now, judge):
            (ended if why else active).append(entry)
    agents = {agent: agent_entry(state, agent, now, quiet_s) for agent in agent_ids(state)}
    return {
        **head(state),
        "active_locks": active,
        "ended_locks": ended,
        "agents": agents,
        "agent_assignments": {a: assignment(e) for a, e in agents.items() if e["heartbeat_at"] is not None},
        **tail(state),
    }


def head(state: State) -> dict[str, Any]:
    """What the board begins with, and is recognised by."""
    return {"version": VERSION, "last_updated": state.at, "revision": state.revision}


def tail(state: State) -> dict[str, Any]:
    """What is short by itself: waiters in order, history, conflicts, messages, damage."""
    waiters = sorted(state.known.waiters.values(), key=lambda w: (w["seq"], w["request"]))
    return {
        "waiters": [waiter_entry(waiter) for waiter in waiters],
        "file_modification_history": list(state.history),
        "conflicts": list(state.conflicts),
        "messages": list(state.messages),
        "damaged": [{"key": key, "reason": why} for key, why in sorted(state.known.damaged.items())],
    }


def lock_entries(state: State, name: str, now: Now, judge: Judge) -> list[tuple[str, dict[str, Any]]]:
    """The holders of a name as the board shows them, each with why it is over; empty: it lasts."""
    record: LockRecord = state.known.locks[name]  # type: ignore[assignment]  # `learn` has looked at every field
    found = []
    for held in record["holders"]:
        lease: Any = state.known.leases.get(held["lease"])
        why = locks.why_over(held, now, judge, state.known.leases.get)  # type: ignore[arg-type]
        entry = {
            "name": name,
            "agent": held["agent"],
            "mode": held["mode"],
            "bound": held["bound"],
            "token": held["token"],
            "since": held["acquired"]["at"],
            "expires_at": expires_at(held, lease),
            "reason": held["reason"],
            "pid": pid_of(held["process"]),
            **host_name_of(held["process"]),
            "waiters_count": len(record["waiters"]),
        }
        found.append((why, {**entry, "why": why} if why else entry))
    return found


def expires_at(held: Holding, lease: leases.Lease | None) -> str | None:
    """When a hold ends by the wall clock, for people; None when the record does not say it."""
    began = leases.runs_from(held["acquired"], held["ttl_s"], lease)
    try:
        return iso(parse_iso(began["at"]) + held["ttl_s"])
    except ValueError:
        return None


def waiter_entry(waiter: dict[str, Any]) -> dict[str, Any]:
    """A waiter as the board shows it."""
    return {
        "request": waiter["request"],
        "agent": waiter["agent"],
        "names": [want["name"] for want in waiter["wants"]],
        "mode": waiter["wants"][0]["mode"],
        "since": waiter["since"]["at"],
        "blocked_by": sorted({str(one.get("agent")) for one in waiter["blocked_by"] if isinstance(one, dict)}),
        "handoff": (waiter["handoff"] or {}).get("state"),
        "reason": waiter["reason"],
    }


def agent_ids(state: State) -> list[str]:
    """Every agent that has a status, holds something or waits, sorted."""
    return sorted({*state.known.agents, *state.holds_of, *state.waits_of})


def agent_entry(state: State, agent: str, now: Now, quiet_s: float) -> dict[str, Any]:
    """What one agent says, holds and waits for."""
    record = state.known.agents.get(agent)
    waits = (state.known.waiters[request] for request in state.waits_of.get(agent, ()))
    return {
        "status": record["status"] if record else "",
        "files": record["files"] if record else [],
        "holds": sorted(state.holds_of.get(agent, ())),
        "waits_for": sorted({want["name"] for waiter in waits for want in waiter["wants"]}),
        "heartbeat_at": record["heartbeat"]["at"] if record else None,
        "started_at": record["started"]["at"] if record else None,
        "pid": pid_of(record["process"]) if record else None,
        "quiet": record is not None and leases.age_s(record["heartbeat"], now) > quiet_s,
    }


def assignment(entry: dict[str, Any]) -> dict[str, Any]:
    """What an agent says it works on, by the names of the founding protocol."""
    return {"status": entry["status"], "files": entry["files"], "last_update": entry["heartbeat_at"]}


def _unlink(index: dict[str, dict[str, None]], owner: str, name: str) -> None:
    names = index.get(owner)
    if names is not None:
        names.pop(name, None)
        if not names:
            del index[owner]
