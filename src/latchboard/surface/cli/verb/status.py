"""status: who does what, or did: agents, locks, waiters, and what cannot be read; changes nothing.

Protocol: protocol/cli.md, "status".
"""

from __future__ import annotations

from latchboard.clock import Now, parse_iso
from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, option
from latchboard.surface.cli.table import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

    Facts = dict[str, Any]

_ABOUT_LOCKS = ("refused", "deadlock", "waiting", "wait_ended", "taken_over", "broken")
"""Kinds of conflicts (protocol/schema/conflict.json); the others are about files."""


def run(call: Call, *, at: int | None) -> Answer:
    """Read the board, as it is or as it was, and leave out what does not concern --agent."""
    board = call.board.board.read() if at is None else call.board.replay.at(at)
    facts = {
        "root": call.board.root,
        "revision": board["revision"],
        "last_updated": board["last_updated"],
        "agents": board["agents"],
        "active_locks": board["active_locks"],
        "ended_locks": board["ended_locks"],
        "waiters": board["waiters"],
        "conflicts": board["conflicts"],
        "damaged": board["damaged"],
    }
    if call.named_agent is not None:
        _only(facts, call.named_agent)
    return Answer(facts, [] if call.as_json else lines(call, facts, is_past=at is not None))


def _only(facts: Facts, agent: str) -> None:
    """What one agent says, holds and waits for, and whom it met."""
    facts["agents"] = {name: entry for name, entry in facts["agents"].items() if name == agent}
    for field in ("active_locks", "ended_locks", "waiters"):
        facts[field] = [entry for entry in facts[field] if entry["agent"] == agent]
    facts["conflicts"] = [
        one
        for one in facts["conflicts"]
        if agent == one["asked_by"] or agent in [held.get("agent") for held in one["held_by"]]
    ]


def lines(call: Call, facts: Facts, *, is_past: bool = False) -> list[str]:
    """The board for people; of one of the past, ages are as they were then."""
    now = _then(facts, call.now) if is_past else call.now
    counts = [
        wording.plural(len(facts["agents"]), "agent"),
        wording.plural(len(facts["active_locks"]), "lock"),
        f"{len(facts['waiters'])} waiting",
    ]
    whose = "" if call.named_agent is None else f", of {printable(call.named_agent)} alone"
    when = f", as it was {_when(facts)}" if is_past else ""
    found = [f"{printable(facts['root'])}{whose}{when}: {', '.join(counts)}"]
    shown = Tables()
    shown.add(
        "Agents",
        ("agent", "status", "holds", "waits for", "last update"),
        _agents(now, facts),
        gives=("last update", "status"),
        cuts=("waits for", "holds"),
    )
    shown.add(
        "Locks",
        ("path", "holder", "since", "until", "waiting", "what for"),
        _locks(now, facts),
        gives=("what for", "since", "until"),
        cuts=("path",),
    )
    shown.add(
        "In line",
        ("agent", "for", "since", "behind", "what for"),
        _waiters(now, facts),
        gives=("what for", "since"),
        cuts=("for", "behind"),
    )
    ended = [(printable(e["name"]), printable(e["agent"]), e["why"]) for e in facts["ended_locks"]]
    shown.add("Over, and free to take", ("path", "last holder", "why"), ended, cuts=("path",))
    damaged = [(printable(one["key"]), printable(one["reason"])) for one in facts["damaged"]]
    shown.add("Cannot be read (counts as held)", ("record", "what is wrong"), damaged)
    found += shown.lines
    changed = sum(one["kind"] not in _ABOUT_LOCKS for one in facts["conflicts"])
    if changed:
        times = wording.plural(changed, "time")
        found.append(
            f"held files were changed by somebody else, {times}: {call.command('conflict list', as_agent=False)}"
        )
    if shown.is_cut:
        found += ["", f"cut to fit; all of it: {call.command('status')} | less -S"]
    return found


def _when(facts: Facts) -> str:
    if not facts["revision"]:
        return "before the first commit"
    return f"at revision {facts['revision']} ({printable(facts['last_updated'])})"


def _then(facts: Facts, now: Now) -> Now:
    try:
        return Now(parse_iso(facts["last_updated"]), 0.0, "")
    except ValueError:
        return now


def _agents(now: Now, facts: Facts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for agent, entry in facts["agents"].items():
        seen = wording.age(entry["heartbeat_at"], now) if entry["heartbeat_at"] else "never"
        quiet = ", quiet" if entry["quiet"] else ""
        rows.append(
            (
                printable(agent),
                printable(entry["status"]),
                wording.few(entry["holds"], "lock"),
                wording.few(entry["waits_for"], "file"),
                f"{seen}{quiet}",
            )
        )
    return rows


def _locks(now: Now, facts: Facts) -> list[tuple[str, ...]]:
    return [
        (
            printable(one["name"]),
            printable(one["agent"]) + (" (shared)" if one["mode"] == "shared" else ""),
            wording.moment(one["since"], now),
            wording.moment(one["expires_at"], now) if one["expires_at"] else "?",
            str(one["waiters_count"] or ""),
            printable(one["reason"]),
        )
        for one in facts["active_locks"]
    ]


def _waiters(now: Now, facts: Facts) -> list[tuple[str, ...]]:
    return [
        (
            printable(one["agent"]),
            wording.few(one["names"], "file"),
            wording.age(one["since"], now),
            wording.listing(one["blocked_by"]),
            printable(one["reason"]),
        )
        for one in facts["waiters"]
    ]


VERBS = (
    Verb(
        "status",
        run,
        summary="Show who holds what, who waits, and what every agent says it is doing.",
        text="--agent shows one agent alone. With --at, the board as it was when that revision was the newest "
        "(`latchboard history --json` tells revisions). The same board lies in data/.agent_locks/status_board.json.",
        parameters=(
            option("--at", "REVISION", "The board as it was then; 0: the oldest that is kept.", kind=kind.number),
        ),
        examples=("latchboard status", "latchboard status --agent planner", "latchboard status --at 0 --json"),
    ),
)
