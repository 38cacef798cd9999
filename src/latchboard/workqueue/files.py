"""Files of a job: their locks are taken in the commit that claims it, and given back in the one that ends the claim.

The owner of the claim is their holder, as if it had locked them itself, bound to the agent: so whoever guards edits
needs to know nothing of the queue.

Protocol: protocol/workqueue.md, "Files".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.locks.linked import give_back
from latchboard.locks.renewing import renew
from latchboard.locks.table import Table
from latchboard.rules import holding as holdings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.locks.service import Locks
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import View


class Files:
    """The locks of one transaction, for jobs."""

    __slots__ = ("_locks", "_table")

    def __init__(self, locks: Locks, view: View) -> None:
        self._locks = locks
        self._table = Table(view, view.now, locks.host.verdict, locks.host.me())

    def take(self, job: Job, owner: str, ttl_s: float) -> dict[str, int] | None:
        """Make the owner the holder of every file of a job: name to token; None: one of them is not free."""
        if not job["files"]:
            return {}
        request = self._locks.request(owner, job["files"], bound="agent", ttl_s=ttl_s, reason=f"job {job['id']}")
        if any(self._table.blockers(request)):
            return None
        tokens = self._table.grant(request)
        renew(self._table, request.lease, ttl_s, owner, "agent", request.process)
        self._table.advance([*self._table.cleared])
        return tokens

    def give_back(self, lease: Lease) -> None:
        """Give back what a claim took, as far as it is still held, and grant it to whoever stands in line."""
        freed: list[str] = []
        for name, token in lease.get("locks", {}).items():
            try:
                record = self._table.record(name)
            except MalformedRecord:
                continue  # it counts as held; whoever wants it is told
            for held in list(record["holders"]) if record else []:
                if held["agent"] == lease["owner"] and holdings.shows_token(held, token):
                    freed += give_back(self._table, name, held)
        self._table.advance(freed)

    def are_held(self, lease: Lease) -> bool:
        """Whether all that a claim took is still held by its owner."""
        for name, token in lease.get("locks", {}).items():
            record = self._table.record(name)
            found = [
                held
                for held in (record["holders"] if record else [])
                if held["agent"] == lease["owner"] and holdings.shows_token(held, token)
            ]
            if not found or self._table.why_over(found[0]):
                return False
        return True

    def renew(self, lease: Lease) -> None:
        """Start the lease of the owner's locks anew."""
        if lease.get("locks"):
            owner, me = lease["owner"], self._locks.host.me()
            renew(self._table, owner, lease["ttl_seconds"], owner, "agent", me)
