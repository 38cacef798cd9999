"""Deadlock: whether a request that starts to wait would close a cycle in the waits-for graph.

Nodes are holders (an agent, in a process or by itself), edges go from a waiter to everybody who is in its way. Only
the waiters of those who are
in the way are read, found by the first part of their request ids.

Protocol: protocol/lock.md, "Deadlock". Coffman et al. 1971; the search is the one of a wait-for graph with one new
    edge set.
"""

from __future__ import annotations

from binascii import crc32

from latchboard.host.identity import is_identity, tag
from latchboard.locks.engaged import is_engaged
from latchboard.rules import lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.locks.table import Table
    from latchboard.rules.lock import Request, Waiter


def holder_tag(agent: str, bound: str, process: Any) -> str:
    """The first part of a request id: the process for a process-bound request, the agent for an agent-bound one."""
    if bound == "process":
        return tag(process) if is_identity(process) else "p"
    return f"a{crc32(agent.encode('utf-8', 'surrogatepass')):08x}"


def find_cycle(table: Table, request: Request, blockers: list[Any]) -> list[str]:
    """The agents of the cycle that waiting for `blockers` would close, the requester first; empty: none.

    Args:
        table: The locks of this transaction.
        request: Who would wait.
        blockers: Holdings and waiters in its way.
    """
    if not _is_waited_for(table, request):
        return []
    seen: set[tuple[str, str]] = set()
    paths: list[tuple[list[str], Any]] = [([request.agent], b) for b in blockers]
    while paths:
        path, blocker = paths.pop()
        holder = (blocker["agent"], holder_tag("", "process", blocker["process"]))
        if holder in seen:
            continue
        seen.add(holder)
        agents = [*path, blocker["agent"]]
        for waiter in _waits_of(table, blocker):
            holders, waiters = table.blockers(rules.of_waiter(waiter), waiter["seq"], everybody=True)
            if any(table.is_mine(held, request) for held in holders) or any(_is_mine(w, request) for w in waiters):
                return [*agents, request.agent]
            paths.extend((agents, further) for further in [*holders, *waiters])
    return []


def _is_waited_for(table: Table, request: Request) -> bool:
    """Whether anybody may wait for the requester: without that there is no cycle through it, and nothing to search.

    A process-bound requester whose process has nothing but this request, and whose agent never had an agent-bound
    hold, needs
    no look at the line.
    """
    is_free = not is_engaged(request.agent, apart_from=1)
    if request.bound == "process" and is_free and table.view.get(f"leases/{request.agent}") is None:
        return False
    for key, _ in table.view.scan("waiters/"):
        waiter = table.waiter(key[len("waiters/") :])
        if waiter is not None and (_is_mine(waiter, request) or table.waits_for(waiter, request)):
            return True
    return False


def _is_mine(waiter: Waiter, request: Request) -> bool:
    """Whether a waiter is another request of the same holder."""
    return waiter["agent"] == request.agent and waiter["request"] != request.request


def _waits_of(table: Table, blocker: Any) -> list[Waiter]:
    """Everything the holder of `blocker` waits for."""
    found = []
    for bound in ("process", "agent"):
        prefix = f"waiters/{holder_tag(blocker['agent'], bound, blocker['process'])}."
        for key, _ in table.view.scan(prefix):
            waiter = table.waiter(key[len("waiters/") :])
            if waiter is not None and waiter["agent"] == blocker["agent"] and table.still_waits(waiter):
                found.append(waiter)
    return found
