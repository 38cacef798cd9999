"""Waiting: one process's place in line, from the bell to the grant.

Order: open the bell, queue, look (failures 3.18). Whoever lets go grants in its own commit, so the waiter wakes as
    the holder. It
wakes by its bell, by the death of whoever is directly in front of it, when a lease in front of it runs out, or by a
slow look of its own.

Protocol: protocol/lock.md, "Waiting in line".
"""

from __future__ import annotations

from latchboard.errors import Cancelled, Deadlock, HandoffDeclined, WaitEnded
from latchboard.locks import notices
from latchboard.locks.deadlock import find_cycle
from latchboard.locks.engaged import disengage, engage
from latchboard.locks.hold import Hold, Refusal
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
    started = locks.clock.now().mono_s
    bell = locks.store.bell(f"waiters/{request.request}")
    engage(request.agent)
    try:
        outcome = locks.transact(request.agent, lambda table: queue(locks, table, request, wait_s_max, handoff=handoff))
        bell.clear()  # of our own joining the line
        while not isinstance(outcome, Hold):
            elapsed = locks.clock.now().mono_s - started
            left = None if wait_s_max is None else wait_s_max - elapsed
            if left is not None and left <= 0:
                outcome = _leave(locks, request, outcome, elapsed)
                continue
            outcome = _granted_meanwhile(locks, request) or _next(locks, request, outcome, bell, cancel, left)
        outcome.waited_s = locks.clock.now().mono_s - started
        return outcome
    except BaseException as exc:
        disengage(request.agent)
        locks.undo(request, exc)
        raise
    finally:
        bell.close()


def _next(
    locks: Locks, request: Request, refusal: Refusal, bell: Bell, cancel: HasFileno | None, left_s: float | None
) -> Hold | Refusal:
    """Sleep until something may have changed, then say how things are."""
    rang = _sleep(locks, refusal, bell, cancel, left_s)
    if cancel is not None and locks.clock.wait([cancel], 0):
        raise Cancelled(f"{request.agent} gave up waiting for {', '.join(refusal.names)}")
    if rang:
        bell.clear()
        hold = _granted_meanwhile(locks, request)
        if hold is not None:
            return hold
    return locks.transact(request.agent, lambda table: _step(locks, table, request))


def queue(
    locks: Locks,
    table: Table,
    request: Request,
    wait_s_max: float | None,
    *,
    handoff: dict[str, Any] | None = None,
    attended: bool = True,
) -> Hold | Refusal:
    """In one transaction: grant if it is free by now, refuse a deadlock, else take a place in line."""
    holders, waiters = table.blockers(request)
    if not holders and not waiters:
        return locks.granted(table, request)
    cycle = find_cycle(table, request, [*holders, *waiters])
    if cycle:
        raise Deadlock(
            f"{request.agent} would wait for itself: {' waits for '.join(cycle)}",
            hint="release what you hold, then ask for everything in one request",
            cycle=cycle,
        )
    refusal = Refusal(request, [(h, table.remaining_s(h)) for h in holders], waiters)
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
    if handoff is not None:
        notices.tell_asked(table, request, sorted({held["agent"] for held in holders}))
    return refusal


def _sleep(locks: Locks, refusal: Refusal, bell: Bell, cancel: HasFileno | None, left_s: float | None) -> bool:
    """Until something may have changed for this waiter; true: its bell rang."""
    limits = [locks.settings.wait_poll_s, *(max(0.0, s) + 0.001 for _, s in refusal.holders)]
    if left_s is not None:
        limits.append(left_s)
    # Only who is directly in front is watched: a dead holder wakes the first in line, not everybody (failures 3.21).
    in_front: list[Any] = [*refusal.waiters[-1:]] or [held for held, _ in refusal.holders]
    deaths = [locks.host.death_watch(one["process"]) for one in in_front if one["bound"] == "process"]
    watched = [death for death in deaths if death is not None]
    try:
        woken = locks.clock.wait([bell, *watched, *([cancel] if cancel is not None else [])], min(limits))
        return woken and locks.clock.wait([bell], 0)
    finally:
        for death in watched:
            death.close()


def _step(locks: Locks, table: Table, request: Request) -> Hold | Refusal:
    """In one transaction: take it if what was in the way has ended; else say who is in the way now."""
    waiter = table.waiter(request.request)
    if waiter is None:
        tokens = _tokens(table, request)
        if tokens is not None:
            return Hold(locks, request, tokens, 0.0)
        return queue(locks, table, request, None)  # somebody cleaned up our place: take a new one
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
        table.dequeue(waiter)
        return locks.granted(table, request)
    return Refusal(request, [(h, table.remaining_s(h)) for h in holders], waiters)


def _leave(locks: Locks, request: Request, refusal: Refusal, waited_s: float) -> Hold:
    """Time is over: leave the line, unless the grant came first."""

    def decide(table: Table) -> Hold | None:
        waiter = table.waiter(request.request)
        if waiter is None:
            tokens = _tokens(table, request)
            return None if tokens is None else Hold(locks, request, tokens, 0.0)
        table.dequeue(waiter)
        table.advance([want["name"] for want in request.wants])
        return None

    hold = locks.transact(request.agent, decide)
    if hold is not None:
        return hold
    raise WaitEnded(
        f"{refusal.sentence()}; {request.agent} waited {waited_s:.1f} s",
        hint="work elsewhere, wait longer, or ask for it (`latchboard handoff request`)",
        names=refusal.names,
        holders=refusal.facts(),
        waited_s=round(waited_s, 3),
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
    """The tokens of a grant, found by its request id; None when it was not granted, or is over already."""
    tokens: dict[str, int] = {}
    for want in request.wants:
        record = table.record(want["name"])
        held = table.mine_in(record, request) if record else None
        if held is None or (held["request"] != request.request and held["depth"] < 2 and held["bound"] == "process"):
            return None
        tokens[want["name"]] = held["token"]
    return tokens
