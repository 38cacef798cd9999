"""Leaving: a request that gives up takes everything of itself along; whoever lost a hold is told how.

Protocol: protocol/lock.md, "Operations".
"""

from __future__ import annotations

from latchboard.errors import HoldLost, LeaseExpired, MalformedRecord, StaleToken, TakenOver
from latchboard.locks.linked import give_back
from latchboard.rules import holding as holdings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding, Request


def withdraw(table: Table, request: Request) -> None:
    """Take a request out of every line and every hold; what cannot be read is passed over."""
    try:
        waiter = table.waiter(request.request)
    except MalformedRecord:
        table.delete_waiter(request.request)
    else:
        if waiter is not None:
            table.dequeue(waiter)
    names = [want["name"] for want in request.wants]
    for name in names:
        try:
            record = table.record(name)
        except MalformedRecord:
            continue
        for held in list(record["holders"]) if record else []:
            after = holdings.undone(held, request.request, table.now)
            if after is not held:
                give_back(table, name, held, after)
    table.advance(names)


def lost(table: Table, name: str, token: int, held: Holding | None) -> HoldLost:
    """Which kind of loss it is, and by whom.

    Args:
        table: The locks of this transaction.
        name: What was held.
        token: What the loser showed.
        held: Its hold, if the record still has it; then it is over.
    """
    record = table.record(name)
    if held is not None:
        return _over(table, name, held)
    holders = record["holders"] if record else []
    newest = max((h["token"] for h in holders), default=None)
    if newest is not None and newest > token:
        by = [h["agent"] for h in holders]
        return TakenOver(
            f"{name} belongs to {', '.join(by)} now (token {newest}, you showed {token})",
            hint="stop writing; read the file again and acquire it anew",
            name=name,
            by=by,
            shown=token,
            newest=newest,
        )
    return StaleToken(
        f"nobody holds {name} with token {token}",
        hint="it was released or cleaned up: acquire it anew",
        name=name,
        shown=token,
        newest=newest,
    )


def _over(table: Table, name: str, held: Holding) -> HoldLost:
    over_s = -table.remaining_s(held)
    if over_s < 0:
        return HoldLost(
            f"the process of {held['agent']} that held {name} is gone, and its hold with it",
            hint="read the file again, then acquire it anew",
            name=name,
        )
    return LeaseExpired(
        f"the lease of {held['agent']} on {name} ran out {abs(over_s):.0f} s ago",
        hint="read the file again, then acquire it anew; renew more often than the lease time",
        name=name,
        expired_for_s=over_s,
    )
