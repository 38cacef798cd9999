"""Files of a job: their locks are taken in the commit that claims it, and given back in the one that ends the claim.

The owner of the claim is their holder, as if it had locked them itself, bound to the agent: so whoever guards edits
needs to know nothing of the queue.

Law 1. A job whose files are not free has a place in their line, and holds nothing meanwhile: nobody waits for a job
that nobody works on, but for as long as its place lasts.
Law 2. A place lasts for `queue_place_s` from the last claim that could have taken the job; it keeps its turn.
Law 3. Two claims never share a lock, also not those of one owner.

Protocol: protocol/workqueue.md, "Files".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.locks.linked import give_back
from latchboard.locks.renewing import renew
from latchboard.locks.table import Table
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock, pattern
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_size as sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.lock import Holding, Request, Waiter
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import View


_BLOCKED_COUNT_MAX = 20
"""So many of those who are in the way are written into a place: a job's files may have a thousand holders."""


class Files:
    """The locks of one transaction, for jobs.

    Attributes:
        blocked_by: Who is in the way of jobs that could not be taken, by job.
    """

    __slots__ = ("_locks", "_place_s", "_table", "blocked_by")

    def __init__(self, locks: Locks, view: View) -> None:
        self._locks = locks
        self._place_s = locks.settings.queue_place_s
        self._table = Table(view, view.now, locks.host.verdict, locks.host.me())
        self.blocked_by: dict[str, list[dict[str, Any]]] = {}

    def request(self, job: Job, owner: str, ttl_s: float) -> Request | None:
        """What a claim asks for; None: that cannot be named by now (a circle of links, a file where a folder was).

        Args:
            job: Which.
            owner: Who claims it.
            ttl_s: Lease time of the claim.
        """
        try:
            request = self._locks.request(owner, job["files"], bound="agent", ttl_s=ttl_s, reason=f"job {job['id']}")
            sizes.check_names([want["name"] for want in request.wants])
        except UsageError:
            return None
        request.request = rules.place_id(job)
        return request

    def take(self, job: Job, request: Request, claims: dict[str, Lease]) -> dict[str, int] | None:
        """Make the owner the holder of every file of a job: name to token; None: one is not free, and it has a place.

        Args:
            job: Which.
            request: What its claim asks for.
            claims: Those that have not ended.
        """
        table, owner = self._table, request.agent
        try:
            place = table.waiter(request.request)
            holders, waiters = table.blockers(request, place["seq"] if place is not None else None)
        except MalformedRecord:
            return None  # it counts as held: another job may be claimed, and whoever looks at this one is told
        if holders or waiters or _has_one(claims.values(), owner, request):
            facts = table.refusal(request, holders, waiters).facts()[:_BLOCKED_COUNT_MAX]
            self.blocked_by[job["id"]] = facts
            self._stand(job, request, place, facts)
            table.settle([want["name"] for want in request.wants])
            return None
        if place is not None:
            table.dequeue(place)
        tokens = table.grant(request)
        renew(table, request.lease, request.ttl_s, owner, "agent", request.process)
        table.advance([*table.cleared])
        return tokens

    def _stand(self, job: Job, request: Request, place: Waiter | None, blocked_by: list[dict[str, Any]]) -> None:
        """Take a place in line, or keep it; what lasts long enough is not written again."""
        table, lasts_s = self._table, self._place_s
        if place is not None and place["wants"] == request.wants:
            age_s = leases.age_s(place["since"], table.now)
            if "is_next" in place or (place["wait_s_max"] or 0.0) - age_s < lasts_s / 2:
                after: Waiter = {**place, "wait_s_max": age_s + lasts_s}
                after.pop("is_next", None)
                table.put_waiter(after)
            return
        if place is not None:  # its names have changed: a link leads elsewhere
            table.dequeue(place)
        agent = f"job.{job['id']}"
        asker = lock.Asker(agent, "agent", {}, agent)
        own = lock.Request(request.request, asker, request.wants, ttl_s=lasts_s, reason=request.reason)
        waiter: Waiter = {
            "request": own.request,
            "agent": agent,
            "bound": "agent",
            "process": {},
            "wants": own.wants,
            "seq": table.view.revision,
            "since": leases.moment(table.now),
            "wait_s_max": lasts_s,
            "ttl_s": lasts_s,
            "lease": agent,
            "attended": False,
            "reason": own.reason,
            "blocked_by": blocked_by,
            "handoff": None,
            "job": job["id"],
        }
        table.enqueue(own, waiter)

    def go_on(self, who: str) -> None:
        """Behind the commit: grant what it had no room for."""
        self._locks.go_on(who, self._table)

    def place(self, job: Job) -> Waiter | None:
        """A job's place in the line of its first file; None: it has none that can be read.

        Of many jobs that want one file most have none: the line says so, and no other record is read for each.
        """
        request = rules.place_id(job)
        try:
            record = self._table.record(job["files"][0])
            stands = record is not None and any(entry["request"] == request for entry in record["waiters"])
            return self._table.waiter(request) if stands else None
        except (MalformedRecord, UsageError):
            return None

    def leave(self, job: Job) -> None:
        """Give up a job's place in line, if it has one; who stood behind it moves up."""
        request = rules.place_id(job)
        try:
            place = self._table.waiter(request)
        except MalformedRecord:
            self._table.delete_waiter(request)
            return
        if place is not None:
            self._table.dequeue(place)
            self._table.advance([want["name"] for want in place["wants"]])

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
                    freed += self._give_back(name, held, lease)
        self._table.advance(freed)

    def _give_back(self, name: str, held: Holding, lease: Lease) -> list[str]:
        """What the owner had locked by itself before the claim stays with it."""
        after = holdings.undone(held, lease.get("lock_request", held["request"]), self._table.now)
        return [] if after is held else give_back(self._table, name, held, after)

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
        owner, me = lease["owner"], self._locks.host.me()
        renew(self._table, owner, lease["ttl_seconds"], owner, "agent", me)


def _has_one(claims: Iterable[Lease], owner: str, request: Request) -> bool:
    """Whether another claim of this owner has what is asked for: it is no holder in its own way."""
    names = [name for lease in claims if lease["owner"] == owner for name in lease.get("locks", {})]
    return any(pattern.overlap(want["name"], name) for want in request.wants for name in names)
