"""Deadlock: whether a request that starts to wait would close a cycle in the waits-for graph.

Nodes are requests in line. A request waits for whoever holds what it wants, hence for everything that this holder
waits for itself, and for whoever stands before it. The cycle is closed by a hold of the requester, or by a request of
its own that nobody attends: what that one will hold, only the requester gives back.

A request of the same agent that a thread attends closes no cycle: that thread goes on by itself.

Protocol: protocol/lock.md, "Deadlock". Coffman et al. 1971; the search is the one of a wait-for graph with one new
edge set.
"""

from __future__ import annotations

from itertools import pairwise

from latchboard.errors import MalformedRecord
from latchboard.locks.engaged import is_engaged
from latchboard.rules import lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding, Request, Waiter


def tell_cycle(cycle: list[str]) -> str:
    """`a waits for b, b waits for a`."""
    return ", ".join(f"{one} waits for {other}" for one, other in pairwise(cycle))


def find_cycle(table: Table, request: Request, seq: int | None = None) -> list[str]:
    """The agents of the cycle that waiting would close, the requester first and last; empty: none.

    Args:
        table: The locks of this transaction.
        request: Who would wait.
        seq: Its place in line; None: it is not in line yet.
    """
    by_agent = _waiting(table, request)
    if by_agent is None:
        return []
    holders, waiters = table.blockers(request, seq, besides=())
    mine = {w["request"] for w in by_agent.get(request.agent, ()) if _is_mine(w, request)}
    seen: set[str] = {request.request}
    start = [request.agent]
    paths = _onward(table, by_agent, start, holders, waiters, seen)
    while paths:
        path, waiter = paths.pop()
        holders, waiters = table.blockers(rules.of_waiter(waiter), waiter["seq"], besides=seen - mine)
        path = [*path, waiter["agent"]]
        if any(table.is_mine(held, request) for held in holders) or any(w["request"] in mine for w in waiters):
            return [*path, request.agent]
        paths += _onward(table, by_agent, path, holders, waiters, seen)
    return []


def _waiting(table: Table, request: Request) -> dict[str, list[Waiter]] | None:
    """Everybody in line, by agent; None where nobody waits for the requester: no cycle can go through it then.

    A process-bound requester with nothing in hand, whose agent never had an agent-bound hold nor left a request for one
    in line, needs no look at the line.
    """
    is_free = not is_engaged(request.agent)
    if request.bound == "process" and is_free and table.view.get(f"leases/{request.agent}") is None:
        return None
    by_agent: dict[str, list[Waiter]] = {}
    is_waited_for = False
    for key, _ in table.view.scan("waiters/", damaged=[]):
        try:
            waiter = table.waiter(key[len("waiters/") :])
        except MalformedRecord:
            continue  # whoever stands behind it is told; here it is a stranger
        if waiter is not None and table.still_waits(waiter):
            by_agent.setdefault(waiter["agent"], []).append(waiter)
            is_waited_for = is_waited_for or _is_mine(waiter, request) or table.waits_for(waiter, request)
    return by_agent if is_waited_for else None


def _is_mine(waiter: Waiter, request: Request) -> bool:
    """Whether a waiter is a request that the requester left in line, for something else than it asks for now."""
    if waiter["attended"] or waiter["agent"] != request.agent or waiter["request"] == request.request:
        return False
    asked = [want["name"] for want in request.wants]
    return all(want["name"] not in asked for want in waiter["wants"])


def _onward(
    table: Table,
    by_agent: dict[str, list[Waiter]],
    path: list[str],
    holders: list[Holding],
    waiters: list[Waiter],
    seen: set[str],
) -> list[tuple[list[str], Waiter]]:
    """The requests that have to be granted before these holders and waiters are out of the way; each comes once."""
    found = list(waiters)
    for blocker in [*holders, *(w for w in waiters if not w["attended"])]:
        found += [w for w in by_agent.get(blocker["agent"], ()) if _is_same_holder(table, blocker, w)]
    onward = []
    for waiter in found:
        if waiter["request"] not in seen:
            seen.add(waiter["request"])
            onward.append((path, waiter))
    return onward


def _is_same_holder(table: Table, blocker: Any, waiter: Waiter) -> bool:
    """Whether whoever holds or asked for something is the one who stands in line there, both of one agent."""
    if not waiter["attended"] or rules.is_same_process(blocker["process"], waiter["process"]):
        return True
    return blocker["bound"] == "agent" and table.judge(blocker["process"]) in rules.GONE
