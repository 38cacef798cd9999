"""Leased: which leases somebody still lives by, so that their records stay.

Law 1. A lease that a live hold names stays, however short the time was that it was last renewed for: a renewal counts
for every hold of its holder.
Law 2. So does that of a request which was left in line: it says that its agent may come to hold something
(deadlock.py).
Law 3. A hold or a request that cannot be read may live by any of them: then all stay.

Protocol: protocol/lock.md, "Cleanup".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding

    T = TypeVar("T")


class Leased:
    """Who lives by which lease, as one transaction sees it; looks through every lock and every request in line."""

    __slots__ = ("_holds", "_is_whole", "_table", "_waiting")

    def __init__(self, table: Table) -> None:
        self._table = table
        self._holds: dict[str, list[Holding]] = {}
        self._waiting: set[str] = set()
        damaged: list[MalformedRecord] = []
        for record in self._each("locks/", table.record, damaged):
            for held in record["holders"]:
                self._holds.setdefault(held["lease"], []).append(held)
        for waiter in self._each("waiters/", table.waiter, damaged):
            if not waiter["attended"] and table.still_waits(waiter):
                self._waiting.add(waiter["lease"])
        self._is_whole = not damaged

    def _each(self, prefix: str, read: Callable[[str], T | None], damaged: list[MalformedRecord]) -> Iterator[T]:
        """The records of a collection that can be read; the others are added to `damaged`."""
        for key, _ in self._table.view.scan(prefix, damaged=damaged):
            try:
                found = read(key[len(prefix) :])
            except MalformedRecord as exc:
                damaged.append(exc)
                continue
            if found is not None:
                yield found

    def keeps(self, lease_id: str) -> bool:
        """Whether somebody may live by this lease, which can be read."""
        if not self._is_whole or lease_id in self._waiting:
            return True
        return any(not self._table.why_over(held) for held in self._holds.get(lease_id, ()))
