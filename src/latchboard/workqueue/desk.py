"""Desk: the records of the queue inside one transaction, each read once and checked; every change goes through `put`.

Law. Whoever puts a job moves it to where it belongs: no caller touches a line.

Protocol: protocol/workqueue.md, "Records".
"""

from __future__ import annotations

from itertools import islice

from latchboard.clock import iso
from latchboard.errors import CommitTooLarge, StaleToken, UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.rules import workqueue_size as sizes
from latchboard.workqueue.files import Files
from latchboard.workqueue.lines import Line, malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import View

ACTIVE = "queue/active"
LIMITS = "queue/limits"
NUMBERS = "queue/numbers"
_BESIDES_COUNT = 24
"""Keys that the end of a job may need beside its files and those that wait for it: its own, its claim, lines."""


class Desk:
    """The queue of one transaction.

    Attributes:
        view: The state; `view.revision` becomes the token of what is claimed.
        now: The instant of the transaction.
        at: The same, as records say it.
    """

    def __init__(self, view: View, locks: Locks) -> None:
        self.view = view
        self.now = view.now
        self.at = iso(view.now.wall_s)
        self._locks = locks
        self._files: Files | None = None
        self._active: dict[str, Lease] | None = None
        self._active_bytes: int | None = None

    def go_on(self, who: str) -> None:
        """Behind the commit: grant locks for which it had no room."""
        if self._files is not None:
            self._files.go_on(who)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> dict[str, Lease]:
        """Claims that have not ended, by job."""
        if self._active is None:
            value = self.view.get(ACTIVE)
            if value is not None and (wrong := leases.check_active(value)):
                raise malformed(ACTIVE, wrong)
            self._active = value["claims"] if value else {}
        return self._active

    @property
    def limits(self) -> dict[str, Any] | None:
        """The record of limits; None: the defaults count."""
        value = self.view.get(LIMITS)
        if value is not None and (wrong := rules.check_limits(value)):
            raise malformed(LIMITS, wrong)
        return value

    @property
    def files(self) -> Files:
        """The locks of this transaction; read when a job that names files is met."""
        if self._files is None:
            self._files = Files(self._locks, self.view)
        return self._files

    def find(self, job_id: str) -> Job | None:
        """A job; None: there is none."""
        value: Any = self.view.get(f"jobs/{job_id}")
        if value is not None and (wrong := jobs.check_job(value, job_id)):
            raise malformed(f"jobs/{job_id}", wrong)
        return value  # type: ignore[no-any-return]

    def job(self, job_id: str) -> Job:
        """A job. Raises UsageError: there is none."""
        found = self.find(rules.check_id(job_id))
        if found is None:
            raise UsageError(
                f"there is no job {job_id}", hint="`latchboard queue list` shows what there is", job=job_id
            )
        return found

    def claim(self, job_id: str, token: int) -> tuple[Job, Lease]:
        """A job, and the claim of it that this token shows.

        Raises:
            StaleToken: That claim has ended.
        """
        job = self.job(job_id)
        lease = self.active.get(job_id)
        if lease is None or lease["token"] != token or job["token"] != token:
            past = [attempt for attempt in job["attempts"] if attempt["token"] == token]
            ended = f": it ended ({past[-1]['outcome']}) at {past[-1].get('ended_at')}" if past else ""
            now_with = (
                f"; {lease['owner']} works on it since {lease['started_at']}"
                if lease is not None
                else f"; it is {job['status']}"
            )
            raise StaleToken(
                f"token {token} is not that of a claim of {job_id}{ended}{now_with}",
                hint="stop working on it, and claim again",
                name=job_id,
                shown=token,
                newest=job["token"],
            )
        return job, lease

    def standing(self, job_id: str, line: str) -> Job:
        """The job of a place in a line. Raises MalformedRecord: it is not there, or does not stand in that line."""
        found = self.find(job_id) if rules.is_id(job_id) else None
        place = rules.place(found) if found is not None else None
        if found is None or place is None or place[0] != line:
            raise malformed(f"queue/{line}", f"{job_id:.100} is in it, and must not be")
        return found

    def at_work(self, lease: Lease) -> Job:
        """The job of a claim that has not ended. Raises MalformedRecord: it is not there, or has another token."""
        found = self.find(lease["task_id"])
        if found is None or found["token"] != lease["token"]:
            raise malformed(ACTIVE, f"{lease['task_id']} is not claimed by that token")
        return found

    def line(self, name: str) -> Line:
        """One line."""
        return Line(self.view, name)

    def first(self, line: str, count: int) -> list[Any]:
        """The first places of a line."""
        return [*islice(self.line(line).places(), count)]

    def last(self, line: str, count: int) -> list[Any]:
        """The last places of a line, the last one first."""
        return [*islice(self.line(line).backwards(), count)]

    def has_room(self, lease: Lease) -> bool:
        """Whether one more claim can be recorded, so that all there are by then can go on and end."""
        if self._active_bytes is None:
            self._active_bytes = sizes.size({**(self.view.get(ACTIVE) or {}), "claims": self.active})
        return sizes.has_room(self._active_bytes, lease, self._locks.settings.value_bytes_max)

    # -- changing ----------------------------------------------------------------------------------------------------

    def put(self, before: Job | None, after: Job) -> None:
        """Write a job, and move it from the place it had to the one it has now."""
        left = rules.place(before) if before is not None else None
        entered = rules.place(after)
        if left != entered:
            if left is not None:
                self.line(left[0]).remove(left[1])
            if before is not None and before["files"] and before["token"] is None and after["token"] is None:
                self.files.leave(before)
            if entered is not None:
                self.line(entered[0]).add(entered[1])
        self.view.put(f"jobs/{after['id']}", {**after})

    def put_own(self, before: Job | None, after: Job) -> None:
        """As `put`, for what somebody says of a job. Raises UsageError: what works would find no room for its end."""
        self.check_own(after)
        if before is None and (entered := rules.place(after)) is not None:
            self.line(entered[0]).check_growth()
        self.put(before, after)

    def check_own(self, job: Job) -> None:
        """Refuse a job that would leave no room for its attempts, or whose end no commit would take.

        Raises:
            UsageError: It would; nothing is to be committed.
        """
        sizes.check_own(job, self._locks.settings.value_bytes_max)
        _refuse_crowd(job, self._locks.store.properties.transaction_keys_max)

    def put_claim(self, lease: Lease) -> None:
        """Write a claim, new or renewed."""
        self._put_active({**self.active, lease["task_id"]: lease})

    def end_claim(self, lease: Lease) -> None:
        """Remove a claim, and give back the locks that it took."""
        self._put_active({job_id: one for job_id, one in self.active.items() if job_id != lease["task_id"]})
        if lease.get("locks"):
            self.files.give_back(lease)

    def _put_active(self, active: dict[str, Lease]) -> None:
        self._active, self._active_bytes = active, None
        before = self.view.get(ACTIVE) or {}
        self.view.put(ACTIVE, {**before, "claims": active})

    def finished(self, job: Job) -> None:
        """Tell those that wait for a job that it is done."""
        for waiting in job["dependents"]:
            other = self.find(waiting)
            if other is not None and job["id"] in other["waits_for"]:
                self.put(other, {**jobs.without(other, job["id"]), "changed_at": self.at})


def _refuse_crowd(job: Job, keys_max: int) -> None:
    """Refuse a job that could not be completed: who waits for it is told in the same commit, which takes so many keys.

    Raises:
        CommitTooLarge: Too many wait for it, or it names too many files. Nothing is to be committed.
    """
    if len(job["dependents"]) + len(job["files"]) > keys_max - _BESIDES_COUNT:
        raise CommitTooLarge(
            f"{len(job['dependents'])} jobs would wait for {job['id']}, which names {len(job['files'])} files; "
            f"together this store takes {keys_max - _BESIDES_COUNT}",
            hint="let them wait for a job in between; name a folder instead of its files",
            keys_max=keys_max,
        )
