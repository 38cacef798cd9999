"""Work queue, the service: submit, claim, renew, complete, fail, give back. One transaction decides and commits.

Law 1. A job is completed once: by the token of its newest claim, which ends with it.
Law 2. A claim counts against its limits from the commit that makes it to the one that ends it.
Law 3. A claim whose lease has run out is ended by whoever claims next; until then its owner may finish.

Protocol: protocol/workqueue.md.
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.errors import CoordinationError, LeaseExpired, NothingReady, NotReady, UsageError, WipLimitReached
from latchboard.rules import lease as times
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules.agent import check_agent
from latchboard.workqueue.desk import ACTIVE, LIMITS, Desk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from latchboard.locks.service import Locks
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View

    T = TypeVar("T")
    Claimed = dict[str, Any]

_LOOKED_COUNT_MAX = 32
"""So many jobs of a line are looked at whose files are not free, before it is said that none is ready."""
_DUE_COUNT_MAX = 64
"""So many jobs come back into line in one claim; the rest with the next one."""


class WorkQueue:
    """Jobs. Threads may share one."""

    def __init__(self, store: Store, settings: Settings, locks: Locks, jitter: Callable[[], float]) -> None:
        """Choose nothing, open nothing.

        Args:
            store: Shared state.
            settings: Limits.
            locks: Whose files' locks are taken.
            jitter: A random number from 0 to 1.
        """
        self.store = store
        self.settings = settings
        self.locks = locks
        self._jitter = jitter

    # -- submitting --------------------------------------------------------------------------------------------------

    def submit(self, drafts: Sequence[dict[str, Any]], *, by: str, durable: bool = True) -> list[Job]:
        """Put jobs into the queue, all or none; they may depend on each other.

        Args:
            drafts: What each is (`workqueue_job.FIELDS`); `title` and `role` at least.
            by: The agent that submits.
            durable: Return when they are on the disk.

        Raises:
            UsageError: A draft cannot be a job, its id is taken, it depends on what is not there or on itself in a
                circle (field `cycle`). Nothing was submitted.
        """
        from latchboard.workqueue.submitting import submit

        check_agent(by)
        named = [self._named(draft) for draft in drafts]
        return self._transact(by, lambda desk: submit(desk, named, by), durable=durable)

    def _named(self, draft: dict[str, Any]) -> dict[str, Any]:
        """The draft with its files by their canonical names."""
        files = draft.get("files")
        return {**draft, "files": self.locks.names(files)} if files else draft

    # -- claiming ----------------------------------------------------------------------------------------------------

    def claim(
        self, role: str, owner: str, *, job: str | None = None, ttl_s: float | None = None, durable: bool = True
    ) -> Claimed:
        """Take the first ready job of a role, or the one that is named.

        Args:
            role: Whose turn it must be.
            owner: The agent that will work on it.
            job: This one alone.
            ttl_s: Lease time, seconds; None: the setting `queue_lease_ttl_s`.
            durable: Return when the claim is on the disk.

        Returns:
            `{"job", "lease"}`; the lease has the token, and the locks of the job's files.

        Raises:
            NothingReady: No job of the role is ready, or the files of those that are are not free.
            NotReady: The job that was named is not.
            WipLimitReached: As many are in progress as may be.
        """
        rules.check_role(role)
        check_agent(owner)
        ttl_s = self.settings.queue_lease_ttl_s if ttl_s is None else ttl_s
        times.check_ttl(ttl_s)
        lease_s = float(ttl_s)

        def decide(desk: Desk) -> Claimed | CoordinationError:
            self._reclaim(desk)
            if job is not None:
                return self._claim_named(desk, job, role, owner, lease_s)
            if why := _full(desk, role):
                return why
            held = []
            for place in _first(desk, f"ready.{role}", _LOOKED_COUNT_MAX):
                taken = self._take(desk, desk.job(place[2]), owner, lease_s)
                if taken is not None:
                    return taken
                held.append(place[2])
            return _nothing_ready(desk, role, held)

        return self._answer(owner, decide, durable)

    def _claim_named(self, desk: Desk, job_id: str, role: str, owner: str, ttl_s: float) -> Claimed | CoordinationError:
        job = desk.job(job_id)
        if not rules.may(job["status"], "claim") or job["role"] != role:
            return jobs.wrong_status(job, f"be claimed by a {role}")
        if job["waits_for"] or job["ready_at"] is not None:
            return not_ready(job)
        return _full(desk, role) or self._take(desk, job, owner, ttl_s) or _nothing_ready(desk, role, [job_id])

    def _take(self, desk: Desk, job: Job, owner: str, ttl_s: float) -> Claimed | None:
        """Claim a job that is in line; None: its files are not free."""
        taken = desk.files.take(job, owner, ttl_s) if job["files"] else {}
        if taken is None:
            return None
        token = desk.view.revision
        lease = leases.new(job["id"], role=job["role"], owner=owner, token=token, ttl_s=ttl_s, now=desk.now)
        if taken:
            lease["locks"] = taken
        after = jobs.claimed(job, token, desk.at)
        desk.put(job, after)
        desk.put_claim(lease)
        return {"job": after, "lease": lease}

    def _reclaim(self, desk: Desk) -> None:
        """Bring back what expired, and what has waited for its time."""
        for lease in [*desk.active.values()]:
            if leases.remaining_s(lease, desk.now) <= 0:
                job = desk.job(lease["task_id"])
                error = f"the lease of {lease['owner']} ran out: no heartbeat since {lease['heartbeat_at']}"
                self._end(desk, job, lease, "expire", error=error)
        due = [place for place in _first(desk, "later", _DUE_COUNT_MAX) if place[0] <= desk.at]
        for place in due:
            job = desk.job(place[2])
            desk.put(job, {**job, "ready_at": None, "changed_at": desk.at})

    # -- working -----------------------------------------------------------------------------------------------------

    def renew(self, job: str, token: int, *, durable: bool = False) -> Lease:
        """Start the lease of a claim anew, and that of its locks. Raises HoldLost: the claim has ended."""

        def decide(desk: Desk) -> Lease:
            _, lease = self._mine(desk, job, token)
            after = leases.renewed(lease, desk.now)
            desk.put_claim(after)
            if after.get("locks"):
                desk.files.renew(after)
            return after

        return self._transact(self._who(job, token), decide, durable=durable)

    def complete(self, job: str, token: int, *, result: Any = None, to: str | None = None, durable: bool = True) -> Job:
        """The work of a claim is done.

        Args:
            job: Which.
            token: Of the claim.
            result: What came of it, JSON of at most 64 KiB.
            to: The status that it shall have; None: that of the next role of `then`, or done.
            durable: Return when it is on the disk.

        Raises:
            HoldLost: The claim has ended; nothing was changed.
            NotReady: A job that it is the parent of is not done.
            WrongStatus: It cannot become that.
        """
        jobs.check_data("result", result)

        def decide(desk: Desk) -> Job:
            before, lease = self._mine(desk, job, token)
            if before["waits_for"]:
                raise not_ready(before)
            after = jobs.completed(before, lease, at=desk.at, result=result, to=to)
            desk.put(before, after)
            desk.end_claim(lease)
            if after["status"] == "done":
                desk.finished(after)
            return after

        return self._transact(self._who(job, token), decide, durable=durable)

    def fail(self, job: str, token: int, *, error: str, is_final: bool = False, durable: bool = True) -> Job:
        """An attempt failed: the job comes back into line after a pause, or is dead where no attempt is left.

        Args:
            job: Which.
            token: Of the claim.
            error: What went wrong, for whoever looks; the end of a long text is kept.
            is_final: It need not be tried again.
            durable: Return when it is on the disk.

        Raises:
            HoldLost: The claim has ended; nothing was changed.
        """

        def decide(desk: Desk) -> Job:
            before, lease = self._mine(desk, job, token)
            return self._end(desk, before, lease, "fail", error=error, is_final=is_final)

        return self._transact(self._who(job, token), decide, durable=durable)

    def release(self, job: str, token: int, *, durable: bool = True) -> Job:
        """Give a job back undone; the attempt does not count. Raises HoldLost: the claim has ended."""

        def decide(desk: Desk) -> Job:
            before, lease = desk.claim(job, token)
            after = jobs.released(before, lease, at=desk.at)
            desk.put(before, after)
            desk.end_claim(lease)
            return after

        return self._transact(self._who(job, token), decide, durable=durable)

    def _end(self, desk: Desk, job: Job, lease: Lease, event: str, *, error: str, is_final: bool = False) -> Job:
        pause_s = jobs.backoff_s(
            job["attempts_count"],
            first_s=self.settings.queue_backoff_s,
            max_s=self.settings.queue_backoff_s_max,
            jitter=self._jitter(),
        )
        ready_at = iso(desk.now.wall_s + pause_s)
        after = jobs.failed(job, lease, event, at=desk.at, error=error, ready_at=ready_at, is_final=is_final)
        desk.put(job, after)
        desk.end_claim(lease)
        return after

    def _mine(self, desk: Desk, job: str, token: int) -> tuple[Job, Lease]:
        """The claim of this token, if its owner may still finish: one that took locks must still have them."""
        before, lease = desk.claim(job, token)
        if lease.get("locks") and not desk.files.are_held(lease):
            raise LeaseExpired(
                f"the locks of {job} are not held any more: its lease ran out, and others may have edited its files",
                hint="stop working on it, and claim again",
                name=job,
                expired_for_s=max(0.0, -leases.remaining_s(lease, desk.now)),
            )
        return before, lease

    # -- setting aside and bringing back -----------------------------------------------------------------------------

    def cancel(self, job: str, *, by: str, reason: str = "", durable: bool = True) -> Job:
        """It shall not be done. Who works on it finds the claim ended. Raises WrongStatus."""
        return self._aside(job, "cancel", by, reason, durable)

    def block(self, job: str, *, by: str, reason: str = "", durable: bool = True) -> Job:
        """It shall not be done now. Who works on it finds the claim ended. Raises WrongStatus."""
        return self._aside(job, "block", by, reason, durable)

    def _aside(self, job: str, event: str, by: str, reason: str, durable: bool) -> Job:
        def decide(desk: Desk) -> Job:
            before = desk.job(job)
            lease = desk.active.get(job)
            after = jobs.set_aside(before, lease, event, at=desk.at, reason=reason)
            desk.put(before, after)
            if lease is not None:
                desk.end_claim(lease)
            return after

        return self._transact(check_agent(by), decide, durable=durable)

    def unblock(self, job: str, *, by: str, durable: bool = True) -> Job:
        """Bring a blocked job back into line. Raises WrongStatus."""
        return self._back(job, "unblock", by, durable)

    def accept(self, job: str, *, by: str, durable: bool = True) -> Job:
        """A plan is accepted: its job is ready to be built. Raises WrongStatus."""
        return self._back(job, "accept", by, durable)

    def requeue(self, job: str, *, by: str, durable: bool = True) -> Job:
        """Bring a dead or cancelled job back into line, with all of its attempts anew. Raises WrongStatus."""
        return self._back(job, "requeue", by, durable)

    def _back(self, job: str, event: str, by: str, durable: bool) -> Job:
        def decide(desk: Desk) -> Job:
            before = desk.job(job)
            after = jobs.returned(before, event, at=desk.at)
            desk.put(before, after)
            return after

        return self._transact(check_agent(by), decide, durable=durable)

    def set_limits(
        self, *, by: str, roles: dict[str, int] | None = None, total: int | None = None, durable: bool = True
    ) -> dict[str, Any]:
        """Change how many jobs may be in progress; what is in progress goes on, also where it is more.

        Args:
            by: Who changes it.
            roles: Role to limit; roles that are not named keep theirs.
            total: Of all roles together; None: as many as the roles may have.
            durable: Return when it is on the disk.
        """

        def decide(desk: Desk) -> dict[str, Any]:
            before = desk.limits or {"roles": {}}
            after = {**before, "roles": {**before["roles"], **(roles or {})}, "total": total}
            if wrong := rules.check_limits(after):
                raise UsageError(f"these are no limits: {wrong}", hint=f"0 to {rules.WIP_LIMIT_MAX}, by role")
            if after != before:
                desk.view.put(LIMITS, after)
            return after

        return self._transact(check_agent(by), decide, durable=durable)

    # -- shared ------------------------------------------------------------------------------------------------------

    def _who(self, job: str, token: int) -> str:
        """On whose behalf a claim's owner acts, for the history; the transaction checks the token."""
        value = self.store.read(ACTIVE).get(ACTIVE) or {}
        lease = value.get("claims", {}).get(job, {})
        return str(lease.get("owner") or "unknown_agent") if lease.get("token") == token else "unknown_agent"

    def _answer(self, who: str, decide: Callable[[Desk], T | CoordinationError], durable: bool) -> T:
        """What was decided; a refusal is raised after the commit, for what expired has come back all the same."""
        answer = self._transact(who, decide, durable=durable)
        if isinstance(answer, CoordinationError):
            raise answer
        return answer

    def _transact(self, who: str, decide: Callable[[Desk], T], *, durable: bool) -> T:
        def run(view: View) -> T:
            return decide(Desk(view, self.locks))

        return self.store.transact(run, who=who, durable=durable).value


def _first(desk: Desk, line: str, count: int) -> list[Any]:
    """The first places of a line."""
    found = []
    for place in desk.line(line).places():
        found.append(place)
        if len(found) == count:
            break
    return found


def _full(desk: Desk, role: str) -> WipLimitReached | None:
    full = rules.full(desk.limits, desk.active, role)
    if full is None:
        return None
    whose = f"of role {full['role']}" if full["role"] else "in all"
    return WipLimitReached(
        f"{full['in_progress']} jobs {whose} are in progress; at most {full['limit']}",
        hint="wait until one is completed, or raise the limit (`latchboard queue limits`)",
        **full,
    )


def _nothing_ready(desk: Desk, role: str, held: list[str]) -> NothingReady:
    """No job could be claimed; says when to look again, if only time is missing."""
    later = [place[0] for place in _first(desk, "later", 1)]
    why = f": the files of {', '.join(held[:3])} are not free" if held else ""
    return NothingReady(
        f"no job is ready for a {role}{why}",
        hint="`latchboard queue list` shows what there is, `latchboard queue graph` what it waits for",
        role=role,
        held=held,
        ready_at=later[0] if later else None,
    )


def not_ready(job: Job) -> NotReady:
    """The error for a job that waits for others, or for its time."""
    waits = ", ".join(job["waits_for"][:5]) or job["ready_at"]
    return NotReady(
        f"{job['id']} waits for {waits}",
        hint="`latchboard queue graph` shows the whole way",
        job=job["id"],
        waits_for=job["waits_for"],
        ready_at=job["ready_at"],
    )
