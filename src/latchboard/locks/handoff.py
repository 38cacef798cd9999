"""Handoff: ask a holder for its lock; it grants, declines, or time runs out.

The one who asks stands in line like any waiter, with `handoff` in its record; a grant moves the lock to it in one
commit, past the
others in line. The holder hears of it by a message, in the same commit.

Protocol: protocol/lock.md, "Handoff".
"""

from __future__ import annotations

from latchboard.errors import Refused, UsageError
from latchboard.locks import notices
from latchboard.locks.hold import Hold, Refusal
from latchboard.locks.looking import waiters
from latchboard.locks.waiting import queue, wait_in_line
from latchboard.rules import lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import HasFileno
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding, LockRecord, Request, Waiter


def ask(locks: Locks, request: Request, *, wait_s_max: float | None = None, cancel: HasFileno | None = None) -> Hold:
    """Ask the holders of everything in `request` to hand it over, and wait for the answer.

    Args:
        locks: The service.
        request: From `Locks.request()`.
        wait_s_max: How long the request stands, seconds; settings.handoff_wait_s when None.
        cancel: Readable when the caller gives up.

    Raises:
        HandoffDeclined: A holder said no, and why.
        WaitEnded: No answer in time.
    """
    return wait_in_line(locks, request, _limit(locks, wait_s_max), cancel, handoff={"state": "asked"})


def ask_and_go(locks: Locks, request: Request, *, wait_s_max: float | None = None) -> Hold | Refusal:
    """Ask and do not wait: the lock arrives when a holder grants or releases it, unless the request's time is up first.

    Only for an agent-bound request: a process-bound one would end with this process.
    """
    if request.bound != "agent":
        raise UsageError("a request that nobody waits for must be bound to the agent", hint='use bound="agent"')
    return locks.transact(
        request.agent,
        lambda table: queue(
            locks, table, request, _limit(locks, wait_s_max), handoff={"state": "asked"}, attended=False
        ),
    )


def requests(locks: Locks, holder: str) -> list[Waiter]:
    """Open handoff requests to an agent, oldest first."""
    return [w for w in waiters(locks) if is_asked(w) and any(b["agent"] == holder for b in w["blocked_by"])]


def is_asked(waiter: Waiter) -> bool:
    """Whether a waiter has asked for a handoff and has no answer yet."""
    return waiter["handoff"] is not None and waiter["handoff"].get("state") == "asked"


def grant(locks: Locks, request_id: str, *, by: str) -> bool:
    """Hand over what `by` holds of a request.

    True: the asker has everything now. False: other holders are still in the way.

    Raises:
        UsageError: There is no such request any more, or `by` holds nothing of it.
    """
    me = locks.host.me()

    def decide(table: Table) -> bool:
        waiter = _open_request(table, request_id)
        request = rules.of_waiter(waiter)
        given = [(r, h) for r, h in _in_the_way(table, request) if rules.is_mine(h, by, "agent", me, table.judge)]
        if not given:
            raise UsageError(f"{by} holds nothing that {request_id} asks for", hint="look at `latchboard handoff list`")
        for record, held in given:
            table.remove(record["name"], held)
        left = _in_the_way(table, request)
        if not left:
            table.dequeue(waiter)
            locks.granted(table, request)
            table.granted.append(waiter)
        body = (
            f"{by} handed over {_names(request)}."
            if not left
            else f"{by} let go of {_names(request)}; others still hold it."
        )
        notices.tell(
            table, f"{request_id}-g", sender=by, to=request.agent, body=body, urgency="high", thread=request_id
        )
        table.advance([record["name"] for record, _ in given])
        return not left

    return locks.transact(by, decide)


def decline(locks: Locks, request_id: str, *, by: str, reason: str = "") -> None:
    """Say no: the asker is told why, and leaves the line.

    Raises:
        UsageError: There is no such request any more.
    """

    def decide(table: Table) -> None:
        waiter = _open_request(table, request_id)
        request = rules.of_waiter(waiter)
        table.dequeue(waiter)
        if request.bound == "process":
            answer: dict[str, Any] = {**waiter, "handoff": {"state": "declined", "by": by, "reason": reason}}
            table.view.put(f"waiters/{request_id}", answer)  # its process reads this, then removes it
        body = f"{by} keeps {_names(request)}: {reason or 'no reason given'}."
        notices.tell(
            table, f"{request_id}-d", sender=by, to=request.agent, body=body, urgency="high", thread=request_id
        )
        table.advance([want["name"] for want in request.wants])

    locks.transact(by, decide)


def break_lock(locks: Locks, path: str, *, by: str, reason: str, token: int | None = None) -> list[dict[str, Any]]:
    """An operator ends every hold of a name; recorded, and the holders are told.

    Args:
        locks: The service.
        path: What was locked, as the holder named it.
        by: The operator.
        reason: Why; must be given.
        token: Break only the hold with this token: a newer one is left alone (failures 3.33).

    Returns:
        Who held it, with token and since when; empty when nobody did. A record that cannot be read is removed, too.

    Raises:
        Refused: `token` is not the holder's.
    """
    if not reason.strip():
        raise UsageError(
            "breaking a lock needs a reason", hint="give --reason: the holder and the history will show it"
        )
    names = locks.names([path])

    def decide(table: Table) -> list[dict[str, Any]]:
        broken: list[dict[str, Any]] = []
        for name in names:
            record = _readable(table, name)
            if record is None:
                continue
            for held in list(record["holders"]):
                if token is not None and not rules.shows_token(held, token):
                    raise Refused(
                        f"{name} is held with token {held['token']}, not {token}",
                        hint="look at it again: somebody else has it now",
                        name=name,
                        newest=held["token"],
                    )
                table.remove(name, held)
                broken.append(
                    {"name": name, "agent": held["agent"], "token": held["token"], "since": held["acquired"]["at"]}
                )
        if broken:
            _tell_broken(table, broken, by, reason)
            table.advance(names)
        return broken

    return locks.transact(by, decide)


def _tell_broken(table: Table, broken: list[dict[str, Any]], by: str, reason: str) -> None:
    table.view.put("log/break", {"by": by, "reason": reason, "broken": broken})
    for number, one in enumerate(broken):
        body = f"{by} broke your lock on {one['name']}: {reason}. Read the file again before you go on."
        message_id = f"break-{one['token']}-{number}"
        notices.tell(table, message_id, sender=by, to=one["agent"], body=body, urgency="urgent")


def _readable(table: Table, name: str) -> LockRecord | None:
    """The record; one that cannot be read is removed, and that is recorded: this is the operator's way out."""
    from latchboard.errors import MalformedRecord

    try:
        return table.record(name)
    except MalformedRecord as exc:
        table.put(rules.new_record(name))
        table.view.put(
            "log/break", {"by": "operator", "reason": f"malformed: {exc.message}", "broken": [{"name": name}]}
        )
        return None


def _open_request(table: Table, request_id: str) -> Waiter:
    waiter = table.waiter(request_id)
    if waiter is None or not is_asked(waiter) or not table.still_waits(waiter):
        raise UsageError(
            f"no open handoff request {request_id}",
            hint="it was granted, declined or given up: look at `latchboard handoff list`",
            request=request_id,
        )
    return waiter


def _in_the_way(table: Table, request: Request) -> list[tuple[LockRecord, Holding]]:
    """Live holds that keep a request from being granted, with their records; whoever waits does not count."""
    return [
        (record, held)
        for want in request.wants
        for record in table.met_by(want["name"])
        for held in record["holders"]
        if rules.conflicts(held["mode"], want["mode"]) and not table.is_mine(held, request) and not table.why_over(held)
    ]


def _names(request: Request) -> str:
    return ", ".join(want["name"] for want in request.wants)


def _limit(locks: Locks, wait_s_max: float | None) -> float:
    return locks.settings.handoff_wait_s if wait_s_max is None else wait_s_max
