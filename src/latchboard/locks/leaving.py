"""Leaving: a request that gives up takes everything of itself along; whoever lost a hold is told how.

Protocol: protocol/lock.md, "Operations".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError, HoldLost, LeaseExpired, MalformedRecord, StaleToken, TakenOver
from latchboard.locks.claimed import Claimed
from latchboard.locks.linked import give_back
from latchboard.locks.records import ROOM_COUNT
from latchboard.locks.table import Table
from latchboard.rules import holding as holdings
from latchboard.rules import lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.lock import Holding, Request
    from latchboard.store.port import View


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


def release_names(locks: Locks, agent: str, names: list[str] | None, token: int | None) -> list[str]:
    """As `Locks.release_names`, of canonical names."""
    me = locks.host.me()
    has_more = False

    def decide(table: Table) -> list[str]:
        nonlocal has_more
        has_more = False
        released: dict[str, None] = {}
        claimed = Claimed(table.view) if names is None else None
        for name in [key[6:] for key, _ in table.view.scan("locks/", damaged=[])] if names is None else names:
            try:
                record = table.record(name)
            except MalformedRecord:
                if names is None:
                    continue  # nobody can say whose it is
                raise
            for held in list(record["holders"]) if record else []:
                mine = rules.is_mine(held, agent, "agent", me, table.judge)
                shown = token is not None and held["agent"] == agent and holdings.shows_token(held, token)
                kept = claimed is not None and claimed.has(name, held)
                if (mine or shown) and not kept and not table.why_over(held):
                    released.update(dict.fromkeys(give_back(table, name, held)))
            if table.view.room < ROOM_COUNT:
                has_more = True
                break
        table.advance(released)
        return list(released)

    found = dict.fromkeys(locks.transact(agent, decide))
    while has_more:
        found.update(dict.fromkeys(locks.transact(agent, decide)))
    return list(found)


def go_on(locks: Locks, who: str, names: Collection[str]) -> None:
    """Grant what a commit had no room for, in commits of its own; whoever let go has let go by then.

    Where the store refuses it, those who wait look again by themselves.
    """
    rest = names
    while rest:
        seen: Any = None

        def run(view: View, rest: Collection[str] = rest) -> None:
            nonlocal seen
            seen = Table(view, view.now, locks.host.verdict, locks.host.me())
            seen.advance(rest, is_alone=True)

        try:
            locks.store.transact(run, who=who)
        except CoordinationError:
            return
        rest = seen.postponed


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
