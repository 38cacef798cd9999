"""Renewing: when the use of a lock renews the lease of its holder, and the write that does it.

One write per holder and `renew_s_min` (or a quarter of a shorter lease time) is enough: in between, use renews nothing.

Protocol: protocol/lock.md, "Leases".
"""

from __future__ import annotations

from latchboard.errors import StoreUnavailable
from latchboard.locks.engaged import is_engaged
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.locks.table import Table
    from latchboard.rules.lock import Holding, Request
    from latchboard.settings import Settings


class Renewals:
    """What one service remembers of its renewals; a hint that spares reading the lease at every use.

    The process may have others (a program that makes one for each call): a service that has no memory yet reads the
    lease, unless its agent has nothing in hand in this process. What a transaction does counts when it is committed
    (`note`): its function may run again, or for nothing, and must not find that it has renewed already.
    """

    __slots__ = ("_known", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # lease -> when it was renewed, how often it must be, and the longest ttl it has to cover
        self._known: dict[str, tuple[float, float, float]] = {}

    def use(self, table: Table, request: Request) -> None:
        """A request was granted: renew its lease, if that is due or must cover a longer time than it knows of."""
        ttl_s = table.longest_s
        every_s = self._every_s(request.ttl_s)
        known = table.renewals.get(request.lease) or self._known.get(request.lease)
        if known is not None:
            every_s = min(every_s, known[1])
            if 0 <= table.now.mono_s - known[0] < every_s and ttl_s <= known[2]:
                if every_s < known[1]:
                    table.renewals[request.lease] = (known[0], every_s, known[2])
                return
        longest_s = max(ttl_s, known[2] if known else 0.0)
        table.renewals[request.lease] = (table.now.mono_s, every_s, longest_s)
        is_first = known is None and request.bound == "process" and not is_engaged(request.agent)
        if is_first and ttl_s <= self._settings.lease_ttl_s:
            return  # this process has no older hold that would need it
        lease = table.lease(request.lease)
        if lease is None or longest_s > lease["ttl_s"] or leases.age_s(lease["renewed"], table.now) >= every_s:
            renew(table, request.lease, longest_s, request.agent, request.bound, request.process)

    def note(self, table: Table) -> None:
        """The transaction was committed: so are its renewals."""
        if table.renewals:
            self._known.update(table.renewals)

    def use_hold(self, table: Table, held: Holding) -> None:
        """A hold was used that lives by another lease than the request's own, or by a token alone."""
        lease = table.lease(held["lease"])
        last = held["acquired"] if lease is None else lease["renewed"]
        if leases.age_s(last, table.now) >= self._every_s(held["ttl_s"]):
            renew_hold(table, held)

    def _every_s(self, ttl_s: float) -> float:
        return min(self._settings.renew_s_min, ttl_s / 4)


def refuse_absent(table: Table, request: Request) -> None:
    """Refuse to grant to a process that is not present any more, and does not know it yet.

    Raises:
        StoreUnavailable: Nothing is to be committed.
    """
    if request.bound == "process" and "presence" in request.process and table.judge(request.process) in rules.GONE:
        raise StoreUnavailable(
            "the store does not know any more that this process is there: it was cut off from it",
            hint="nothing was changed; try again in some seconds",
        )


def renew_hold(table: Table, held: Holding) -> None:
    """Renew the lease that a hold lives by."""
    renew(table, held["lease"], held["ttl_s"], held["agent"], held["bound"], held["process"])


def renew(table: Table, lease_id: str, ttl_s: float, agent: str, bound: str, process: Any) -> None:
    """Write the renewal of a lease."""
    lease: Any = leases.renewed(table.lease(lease_id), table.now, ttl_s, agent=agent, bound=bound, process=process)
    table.view.put(f"leases/{lease_id}", lease)
