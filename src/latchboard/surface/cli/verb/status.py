"""status: who does what: agents, locks, waiters, and what cannot be read; changes nothing.

Protocol: protocol/cli.md, "status".
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb
from latchboard.surface.cli.table import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

    Facts = dict[str, Any]


def run(call: Call) -> Answer:
    """Read the board, and leave out what does not concern --agent."""
    board = call.board.board.read()
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
    return Answer(facts, [] if call.as_json else lines(call, facts))


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


def lines(call: Call, facts: Facts) -> list[str]:
    """The board for people."""
    counts = [
        wording.plural(len(facts["agents"]), "agent"),
        wording.plural(len(facts["active_locks"]), "lock"),
        f"{len(facts['waiters'])} waiting",
    ]
    whose = "" if call.named_agent is None else f", of {printable(call.named_agent)} alone"
    found = [f"{printable(facts['root'])}{whose}: {', '.join(counts)}"]
    found += table("Agents", ("agent", "status", "holds", "waits for", "last update"), _agents(call, facts))
    found += table("Locks", ("path", "holder", "since", "until", "waiting", "what for"), _locks(call, facts))
    found += table("In line", ("agent", "for", "since", "behind", "what for"), _waiters(call, facts))
    ended = [(printable(e["name"]), printable(e["agent"]), e["why"]) for e in facts["ended_locks"]]
    found += table("Over, and free to take", ("path", "last holder", "why"), ended)
    damaged = [(printable(one["key"]), printable(one["reason"])) for one in facts["damaged"]]
    found += table("Cannot be read (counts as held)", ("record", "what is wrong"), damaged)
    return found


def _agents(call: Call, facts: Facts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for agent, entry in facts["agents"].items():
        seen = wording.age(entry["heartbeat_at"], call.now) if entry["heartbeat_at"] else "never"
        quiet = ", quiet" if entry["quiet"] else ""
        rows.append(
            (
                printable(agent),
                printable(entry["status"]),
                wording.listing(entry["holds"]),
                wording.listing(entry["waits_for"]),
                f"{seen}{quiet}",
            )
        )
    return rows


def _locks(call: Call, facts: Facts) -> list[tuple[str, ...]]:
    return [
        (
            printable(one["name"]),
            printable(one["agent"]) + (" (shared)" if one["mode"] == "shared" else ""),
            wording.moment(one["since"], call.now),
            wording.moment(one["expires_at"], call.now) if one["expires_at"] else "?",
            str(one["waiters_count"] or ""),
            printable(one["reason"]),
        )
        for one in facts["active_locks"]
    ]


def _waiters(call: Call, facts: Facts) -> list[tuple[str, ...]]:
    return [
        (
            printable(one["agent"]),
            wording.listing(one["names"]),
            wording.age(one["since"], call.now),
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
        text="--agent shows one agent alone. The same board lies in data/.agent_locks/status_board.json.",
        examples=("latchboard status", "latchboard status --agent planner", "latchboard status --json"),
    ),
)
