"""Work queue, the service: submit, claim, renew, complete, fail, give back. One transaction decides and commits.

Law 1. A job is completed once: by the token of its newest claim, which ends with it.
Law 2. A claim counts against its limits from the commit that makes it to the one that ends it.
Law 3. A claim whose lease has run out is ended by whoever claims next; until then its owner may finish.

Protocol: protocol/workqueue.md.
"""

from __future__ import annotations

from itertools import count

from latchboard.errors import CoordinationError, LeaseExpired, StoreError
from latchboard.locks.hold import holder_tag
from latchboard.rules import lease as times
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules.agent import check_agent
from latchboard.workqueue.claiming import claim
from latchboard.workqueue.desk import ACTIVE, LIMITS, Desk
from latchboard.workqueue.refusing import not_ready
from latchboard.workqueue.returning import Returning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Literal, TypeVar

    from latchboard.clock import Now
    from latchboard.locks.service import Locks
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.settings import Settings
    from latchboard.store.port import Snapshot, Store, View
    from latchboard.workqueue.looking import Picture

    T = TypeVar("T")
    Claimed = dict[str, Any]

_serials = count(1)  # of claims in this process: with its identity, an id that is never used twice


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

        request = f"{holder_tag('', 'process', self.locks.host.me())}.{next(_serials)}"

        def decide(desk: Desk) -> Claimed | CoordinationError | None:
            if not self._returning(desk).reclaim(job):
                return None
            return claim(desk, role, owner, ttl_s=lease_s, request=request, job_id=job)

        try:
            while (answer := self._transact(owner, decide, durable=durable)) is None:
                pass  # what has come back is a commit of its own
        except StoreError:
            found = self._claimed_by(request)
            if found is None:
                raise
            return found
        if isinstance(answer, CoordinationError):
            raise answer  # after the commit: what expired has come back all the same
        return answer

    def _claimed_by(self, request: str) -> Claimed | None:
        """What a call has claimed that was told of a fault of the store: it may have met it behind the commit.

        Else nobody would know the token, and the job be stuck until its lease has run out (failures 3.31).
        """
        try:
            look = self.look()
        except CoordinationError:
            return None
        for job_id, lease in look.active.items():
            if lease.get("request") == request:
                return {"job": look.jobs[job_id], "lease": lease}
        return None

    def _returning(self, desk: Desk) -> Returning:
        return Returning(desk, self.settings, self._jitter)

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

        return self._transact(self._who(job), decide, durable=durable)

    def renew_all(self, owner: str) -> list[str]:
        """Start the lease of every claim of an agent anew; which jobs they are of. That of its locks is its own."""

        def decide(desk: Desk) -> list[str]:
            mine = [lease for lease in desk.active.values() if lease["owner"] == owner]
            for lease in mine:
                desk.put_claim(leases.renewed(lease, desk.now))
            return [lease["task_id"] for lease in mine]

        return self._transact(check_agent(owner), decide, durable=False)

    def complete(self, job: str, token: int, *, result: Any = None, to: str | None = None, durable: bool = True) -> Job:
        """The work of a claim is done.

        Args:
            job: Which.
            token: Of the claim.
            result: What came of it, JSON of at most 64 KiB.
            to: The status that it shall have; None: that of the next role of `then`, or done.
            durable: Return when it is on the disk.

        Returns:
            The job. Who asks the same again, since the answer was lost, gets it as it is by then, with `already`.

        Raises:
            HoldLost: The claim has ended; nothing was changed.
            NotReady: A job that it is the parent of is not done.
            WrongStatus: It cannot become that.
        """
        jobs.check_data("result", result)
        asked = jobs.digest("complete", to, result)

        def decide(desk: Desk) -> Job:
            if (told := jobs.repeated(desk.job(job), token, asked)) is not None:
                return told
            before, lease = self._mine(desk, job, token)
            if before["waits_for"]:
                raise not_ready(before)
            after = jobs.completed(before, lease, at=desk.at, result=result, to=to)
            desk.put(before, after)
            desk.end_claim(lease)
            if after["status"] == "done":
                desk.finished(after)
            return after

        return self._transact(self._who(job), decide, durable=durable)

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
        error = error.encode("utf-8", "backslashreplace").decode()  # the output of a program may be anything
        asked = jobs.digest("fail", error, is_final)

        def decide(desk: Desk) -> Job:
            if (told := jobs.repeated(desk.job(job), token, asked)) is not None:
                return told
            before, lease = self._mine(desk, job, token)
            return self._returning(desk).end(before, lease, "fail", error=error, is_final=is_final)

        return self._transact(self._who(job), decide, durable=durable)

    def release(self, job: str, token: int, *, durable: bool = True) -> Job:
        """Give a job back undone; the attempt does not count. Raises HoldLost: the claim has ended."""
        asked = jobs.digest("release")

        def decide(desk: Desk) -> Job:
            if (told := jobs.repeated(desk.job(job), token, asked)) is not None:
                return told
            before, lease = desk.claim(job, token)
            after = jobs.released(before, lease, at=desk.at)
            desk.put(before, after)
            desk.end_claim(lease)
            return after

        return self._transact(self._who(job), decide, durable=durable)

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
        self,
        *,
        by: str,
        roles: Mapping[str, int | None] | None = None,
        total: int | Literal["keep"] | None = "keep",
        durable: bool = True,
    ) -> dict[str, Any]:
        """Change how many jobs may be in progress; what is in progress goes on, also where it is more.

        Args:
            by: Who changes it.
            roles: Role to limit, None for the one it had at first; roles that are not named keep theirs.
            total: Of all roles together; None: as many as the roles may have; `keep`: as it is.
            durable: Return when it is on the disk.
        """
        from latchboard.workqueue.limiting import set_limits

        return self._transact(check_agent(by), lambda desk: set_limits(desk, roles or {}, total), durable=durable)

    def limits(self) -> dict[str, Any]:
        """How many jobs may be in progress, and how many are.

        Returns:
            `{"roles": {role: {"limit", "in_progress", "is_default"}}, "total", "in_progress", "revision"}`: the five,
            and every role that has a limit of its own or a job in progress.
        """
        from latchboard.workqueue.limiting import told

        return told(self._seen(ACTIVE, LIMITS))

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> Picture:
        """The whole queue as it is: jobs, claims, limits, what is stuck. Changes nothing; costs what there is."""
        from latchboard.workqueue.looking import Picture

        return Picture(self.store)

    def show(self, job: str) -> Claimed:
        """One job, its claim, and its place in line for its files: `{"job", "lease", "place"}`, null what it has not.

        Raises:
            UsageError: There is none.
        """
        rules.check_id(job)
        place = f"waiters/{rules.place_id(self._seen(f'jobs/{job}').job(job))}"
        desk = self._seen(f"jobs/{job}", ACTIVE, place)
        return {"job": desk.job(job), "lease": desk.active.get(job), "place": desk.view.get(place)}

    def _seen(self, *keys: str) -> Desk:
        """These records at one revision."""
        seen: Any = _Seen(self.store.read(*keys), self.locks.clock.now())
        return Desk(seen, self.locks)

    # -- shared ------------------------------------------------------------------------------------------------------

    def _who(self, job: str) -> str:
        """On whose behalf a claim's owner acts, for the history; by any other token the transaction changes nothing."""
        value = self.store.read(ACTIVE).get(ACTIVE) or {}
        if leases.check_active(value):
            return "unknown_agent"  # and the transaction refuses
        lease = value["claims"].get(job)
        return lease["owner"] if lease is not None else "unknown_agent"

    def _transact(self, who: str, decide: Callable[[Desk], T], *, durable: bool) -> T:
        desk: Any = None

        def run(view: View) -> T:
            nonlocal desk
            desk = Desk(view, self.locks)
            return decide(desk)

        value = self.store.transact(run, who=who, durable=durable).value
        desk.go_on(who)
        return value


class _Seen:
    """A snapshot where a transaction's view is read."""

    __slots__ = ("get", "now", "revision")

    def __init__(self, snapshot: Snapshot, now: Now) -> None:
        self.get = snapshot.get
        self.revision = snapshot.revision
        self.now = now
