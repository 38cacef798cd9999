"""Waiting: one process's place in line, from the bell to the grant.

Order: open the bell, queue, look (failures 3.18). Whoever lets go grants in its own commit, so the waiter wakes as the
holder. It wakes by its bell, by the death of whoever is directly in front of it, when a lease in front of it runs out,
or by a slow look of its own.

`queue`, `step` and `leave` are the transactions of it, for whoever waits in another way.

Protocol: protocol/lock.md, "Waiting in line".
"""

from __future__ import annotations

from latchboard.errors import Cancelled, Deadlock, HandoffDeclined, WaitEnded
from latchboard.locks import notices
from latchboard.locks.deadlock import find_cycle, tell_cycle
from latchboard.locks.hold import Hold, Refusal
from latchboard.locks.leaving import withdraw
from latchboard.locks.renewing import renew
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import HasFileno
    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Request, Waiter
    from latchboard.store.port import Bell


def wait_in_line(
    locks: Locks,
    request: Request,
    wait_s_max: float | None,
    cancel: HasFileno | None,
    *,
    handoff: dict[str, Any] | None = None,
) -> Hold:
    """Queue the request and wait until it is granted, declined, cancelled or out of time."""
    request.process = locks.here()  # whoever waits is passed over when it is gone, whatever it waits for
    bell = locks.store.bell(f"waiters/{request.request}")
    try:
        try:
            return _wait(locks, request, wait_s_max, cancel, bell, handoff)
        finally:
            bell.close()
    except BaseException as exc:
        if not isinstance(exc, Deadlock | WaitEnded):  # of these two nothing is left
            locks.undo(request)
        raise


def _wait(
    locks: Locks,
    request: Request,
    wait_s_max: float | None,
    cancel: HasFileno | None,
    bell: Bell,
    handoff: dict[str, Any] | None,
) -> Hold:
    started = locks.clock.now().mono_s

    def left_s() -> float | None:
        return None if wait_s_max is None else max(0.0, wait_s_max - (locks.clock.now().mono_s - started))

    try:
        outcome = locks.transact(request.agent, lambda table: queue(locks, table, request, wait_s_max, handoff=handoff))
    except Deadlock as exc:
        _log_deadlock(locks, request, exc)
        raise
    bell.clear()  # of our own joining the line
    while not isinstance(outcome, Hold):
        left = left_s()
        if left is not None and left <= 0:
            outcome = _leave(locks, request, outcome, locks.clock.now().mono_s - started)
            continue
        hold = _granted_meanwhile(locks, request)
        if hold is not None:
            outcome = hold
            continue
        _sleep(locks, outcome, bell, cancel, left)
        if cancel is not None and locks.clock.wait([cancel], 0):
            raise Cancelled(f"{request.agent} gave up waiting for {', '.join(outcome.names)}")
        if locks.clock.wait([bell], 0):
            bell.clear()
            outcome = _granted_meanwhile(locks, request) or outcome
        if not isinstance(outcome, Hold):
            left = left_s()
            outcome = locks.transact(request.agent, lambda table: step(locks, table, request, left))  # noqa: B023
    outcome.waited_s = locks.clock.now().mono_s - started
    return outcome


def queue(
    locks: Locks,
    table: Table,
    request: Request,
    wait_s_max: float | None,
    *,
    handoff: dict[str, Any] | None = None,
    attended: bool = True,
) -> Hold | Refusal:
    """In one transaction: grant if it is free by now, refuse a deadlock, else take a place in line.

    Args:
        locks: The service.
        table: The locks of this transaction.
        request: From `Locks.request()`.
        wait_s_max: How long the place lasts, seconds; None has no end.
        handoff: What the waiter's record says of a handoff; the holders are told.
        attended: Whether this process waits at the place, which then ends with it.

    Raises:
        Deadlock: Nothing was changed.
    """
    holders, waiters = table.blockers(request)
    if not holders and not waiters:
        return locks.granted(table, request)
    refusal = table.refusal(request, holders, waiters)
    cycle = find_cycle(table, request)
    if cycle:
        raise Deadlock(
            f"{refusal.sentence()}; waiting would never end: {tell_cycle(cycle)}",
            hint="release what you hold, then ask for everything in one request",
            cycle=cycle,
            holders=refusal.facts(),
        )
    waiter: Waiter = {
        "request": request.request,
        "agent": request.agent,
        "bound": request.bound,
        "process": request.process,
        "wants": request.wants,
        "seq": table.view.revision,
        "since": leases.moment(table.now),
        "wait_s_max": wait_s_max,
        "ttl_s": request.ttl_s,
        "lease": request.lease,
        "attended": attended,
        "reason": request.reason,
        "blocked_by": refusal.facts(),
        "handoff": handoff,
    }
    table.enqueue(request, waiter)
    if not attended:  # so that every process can see that the agent may come to hold something (deadlock.py)
        renew(table, request.lease, request.ttl_s, request.agent, request.bound, request.process)
    table.settle(refusal.names)
    if handoff is not None:
        notices.tell_asked(table, request, sorted({held["agent"] for held in holders}))
    return refusal


def _sleep(locks: Locks, refusal: Refusal, bell: Bell, cancel: HasFileno | None, left_s: float | None) -> None:
    """Until something may have changed for this waiter."""
    limits = [locks.settings.wait_poll_s, *(max(0.0, s) + 0.001 for *_, s in refusal.holders)]
    if left_s is not None:
        limits.append(left_s)
    # Only who is directly in front is watched: a dead holder wakes the first in line, not everybody (failures 3.21).
    if refusal.waiters:
        in_front: list[Any] = [waiter for waiter in refusal.waiters[-1:] if waiter["attended"]]
    else:
        in_front = [held for _, held, _ in refusal.holders if held["bound"] == "process"]
    watched = [death for one in in_front if (death := locks.host.death_watch(one["process"])) is not None]
    try:
        locks.clock.wait([bell, *watched, *([cancel] if cancel is not None else [])], min(limits))
    finally:
        for death in watched:
            death.close()


def step(locks: Locks, table: Table, request: Request, left_s: float | None = None) -> Hold | Refusal:
    """In one transaction: take it if what was in the way has ended; else say who is in the way now.

    Args:
        locks: The service.
        table: The locks of this transaction.
        request: One that was queued.
        left_s: How long a new place lasts, if somebody cleared ours away, seconds.

    Raises:
        HandoffDeclined: The holder said no.
    """
    waiter = table.waiter(request.request)
    if waiter is None:
        tokens = _tokens(table, request)
        if tokens is not None:
            return Hold(locks, request, tokens, 0.0)
        return queue(locks, table, request, left_s)
    handoff = waiter["handoff"]
    if handoff is not None and handoff.get("state") == "declined":
        raise HandoffDeclined(
            f"{handoff.get('by')} declined to hand over: {handoff.get('reason') or 'no reason given'}",
            hint="work elsewhere, or wait in line (--wait-s-max)",
            by=handoff.get("by"),
            reason=handoff.get("reason"),
        )
    holders, waiters = table.blockers(request, waiter["seq"])
    if not holders and not waiters:
        table.delete_waiter(request.request)
        return locks.granted(table, request)
    names = [want["name"] for want in request.wants]
    if holders:
        table.settle(names)
    else:
        table.advance(names)  # whoever let go may have been killed before all were granted that stand in front
    return table.refusal(request, holders, waiters)


def leave(locks: Locks, table: Table, request: Request, refusal: Refusal) -> Hold | None:
    """In one transaction: the time is over. Leave the line, unless the grant came first."""
    waiter = table.waiter(request.request)
    if waiter is None:
        tokens = _tokens(table, request)
        if tokens is not None:
            return Hold(locks, request, tokens, 0.0)
        withdraw(table, request)  # a part of it may be left of a grant that somebody broke
    else:
        table.dequeue(waiter)
        table.advance([want["name"] for want in request.wants])
    table.view.put("log/conflict", notices.conflict(request, refusal.facts(), table.now, "wait-ended"))
    return None


def _leave(locks: Locks, request: Request, refusal: Refusal, waited_s: float) -> Hold:
    hold = locks.transact(request.agent, lambda table: leave(locks, table, request, refusal))
    if hold is not None:
        return hold
    raise WaitEnded(
        f"{refusal.sentence()}; {request.agent} waited {waited_s:.1f} s",
        hint="work elsewhere, wait longer, or ask for it (`latchboard handoff request`)",
        names=refusal.names,
        holders=refusal.facts(),
        waited_s=round(waited_s, 3),
    )


def _log_deadlock(locks: Locks, request: Request, exc: Deadlock) -> None:
    held_by = exc.fields["holders"]
    locks.transact(
        request.agent,
        lambda table: table.view.put("log/conflict", notices.conflict(request, held_by, table.now, "deadlock")),
    )


def _granted_meanwhile(locks: Locks, request: Request) -> Hold | None:
    """The hold that somebody else's commit gave us; None while our place in line is there. Reads only."""
    place = f"waiters/{request.request}"
    if locks.store.read(place).get(place) is not None:
        return None
    table = locks.look(*[f"locks/{want['name']}" for want in request.wants])
    tokens = _tokens(table, request)
    return None if tokens is None else Hold(locks, request, tokens, 0.0)


def _tokens(table: Table, request: Request) -> dict[str, int] | None:
    """The tokens of a grant; None when it was not granted, or is over already."""
    tokens: dict[str, int] = {}
    for want in request.wants:
        record = table.record(want["name"])
        held = table.mine_in(record, request) if record else None
        if held is None or not holdings.is_in(held, request.request, request.bound):
            return None
        if want["mode"] == "exclusive" and held["mode"] == "shared":
            return None
        tokens[want["name"]] = held["token"]
    return tokens
