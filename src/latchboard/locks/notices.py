"""Notices: what locks leave in the history and in mailboxes, built as plain records."""

from __future__ import annotations

from latchboard.rules import lease as leases
from latchboard.rules.lock import ABSENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Request, Waiter


SENDER = "latchboard"
"""Who writes when no agent does."""
LOST = {
    "expired": "Your lease on {} ran out",
    ABSENT: "You lost {}: the store did not hear of your process for so long that it counts as gone",
}
"""Why a hold ended -> what its holder is told: those whose process has ended are told nothing."""


def conflict(request: Request, held_by: list[dict[str, Any]], now: Now, kind: str = "refused") -> dict[str, Any]:
    """A trace of a request that did not get what it wanted, with both sides.

    `kind`: refused (it did not wait), wait-ended, deadlock.
    """
    return {
        "kind": kind,
        "names": [want["name"] for want in request.wants],
        "asked_by": request.agent,
        "held_by": held_by,
        "reason": request.reason,
        "at": leases.moment(now)["at"],
    }


def tell_taken_over(table: Table, request: Request) -> None:
    """Record every takeover; tell an agent that may not know of it that somebody else has its lock now."""
    table.told += [
        {"name": name, "from": held["agent"], "token": held["token"], "why": why, "by": request.agent}
        for name, held, why in table.taken_over
    ]
    trace = {"by": request.agent, "taken": table.told, "at": leases.moment(table.now)["at"]}
    table.view.put("log/takeover", trace)
    for number, (name, held, why) in enumerate(table.taken_over):
        if why in LOST and held["agent"] != request.agent:
            tell(
                table,
                f"{request.request}-t{number}",
                sender=request.agent,
                to=held["agent"],
                body=f"{LOST[why].format(name)}; {request.agent} has it now. Read the file again before you go on.",
                urgency="high",
            )


def tell_granted(table: Table, waiter: Waiter) -> None:
    """Tell an agent that did not stay in line that its turn has come."""
    names = ", ".join(want["name"] for want in waiter["wants"])
    body = f"You hold {names} now, as you asked. Release it when you are done."
    tell(
        table,
        f"{waiter['request']}-a",
        sender=SENDER,
        to=waiter["agent"],
        body=body,
        urgency="high",
        thread=waiter["request"],
    )


def tell_asked(table: Table, request: Request, holders: list[str]) -> None:
    """Ask the holders, by a message that says how to answer."""
    names = ", ".join(want["name"] for want in request.wants)
    why = f" ({request.reason})" if request.reason else ""
    for number, holder in enumerate(holders):
        body = (
            f"{request.agent} asks you for {names}{why}. "
            f"Answer with `latchboard handoff grant {request.request}` "
            f"or `latchboard handoff decline {request.request}`."
        )
        message_id = f"{request.request}-h{number}"
        tell(table, message_id, sender=request.agent, to=holder, body=body, urgency="high", thread=request.request)


def tell(
    table: Table, message_id: str, *, sender: str, to: str, body: str, urgency: str, thread: str | None = None
) -> None:
    """Put a message into a mailbox, in the same commit."""
    from latchboard.rules import mailbox  # most transactions tell nobody anything

    message = mailbox.compose(
        message_id,
        sender=sender,
        to=to,
        body=body,
        now=table.now,
        revision=table.view.revision,
        urgency=urgency,
        thread=thread,
    )
    table.view.put(mailbox.key(message), message)
