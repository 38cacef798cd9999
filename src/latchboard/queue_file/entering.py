"""Entering: what a file says becomes jobs, in commits of some hundred; each decides again on what is there by then.

Law 1. No commit leaves a job that waits for something done, or that is unknown to what it waits for.
Law 2. A killed import has entered some of the tasks, each whole; entering the same file again enters the rest.

Protocol: protocol/queue_file.md, "Import".
"""

from __future__ import annotations

from functools import partial

from latchboard.errors import CoordinationError, UsageError, WipLimitReached
from latchboard.rules import queue_file as files
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_graph as graph
from latchboard.rules import workqueue_job as jobs
from latchboard.store.parts import count_of, in_parts
from latchboard.workqueue.claiming import secure
from latchboard.workqueue.desk import LIMITS, NUMBERS, Desk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.queue_file import Task
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import Store, View

    Progress = Callable[[int, int], None]

BATCH_COUNT = 250
"""Most jobs of one commit: others wait for it some tens of milliseconds."""
LEFT = "it was changed meanwhile"
"""Why a job was left alone: whoever merges again finds out what that means."""
EXTRA = "queue/file"
"""The record of what a file says beside its tasks and limits."""


class Entering:
    """Commits for one file.

    Args:
        store: Where the queue is.
        locks: Whose files' locks claims take.
        by: On whose behalf.
        progress: Told how many tasks of how many are entered.
    """

    def __init__(self, store: Store, locks: Locks, by: str, progress: Progress) -> None:
        self._store = store
        self._locks = locks
        self._by = by
        self._progress = progress

    def _transact(self, do: Callable[[Desk], Any]) -> Any:
        desk: Any = None

        def run(view: View) -> Any:
            nonlocal desk
            desk = Desk(view, self._locks)
            return do(desk)

        value = self._store.transact(run, who=self._by, durable=True).value
        desk.go_on(self._by)
        return value

    def _in_parts(self, items: Sequence[Any], commit: Callable[[Sequence[Any]], None]) -> None:
        in_parts(items, count_of(self._store, BATCH_COUNT, keys_each=2), commit)

    # -- new jobs ----------------------------------------------------------------------------------------------------

    def enter(self, planned: Sequence[Job], leases: Mapping[str, Task]) -> None:
        """Make the jobs, numbered in their order; those of `leases` are claimed as these tasks say.

        Raises:
            UsageError: What one needs is gone, its id is taken, or the files of a claim are not free.
            WipLimitReached: There are more claims than may be.
        """
        if not planned:
            return
        first = self._transact(lambda desk: _reserve(desk, len(planned)))

        def commit(batch: Sequence[tuple[int, Job]]) -> None:
            numbered: list[Any] = [{**job, "number": first + at} for at, job in batch]
            self._transact(partial(_put, batch=numbered, leases=leases))
            self._progress(batch[-1][0] + 1, len(planned))

        self._in_parts([*enumerate(planned)], commit)

    # -- jobs that are there -----------------------------------------------------------------------------------------

    def amend(self, edits: Mapping[str, dict[str, Any]], seen: Mapping[str, Task]) -> dict[str, str]:
        """Change jobs as the file says.

        Args:
            edits: By job.
            seen: The jobs as they were when it was decided; what has changed since is left alone.

        Returns:
            Why some of them were not changed, by job: refused, or left alone (`LEFT`).
        """
        refused: dict[str, str] = {}
        self._in_parts(
            [*edits], lambda ids: refused.update(self._transact(partial(_amend_all, ids=ids, edits=edits, seen=seen)))
        )
        return refused

    def cancel(self, gone: Sequence[str], seen: Mapping[str, Task]) -> dict[str, str]:
        """Cancel jobs whose tasks were taken out of the file; `seen` and what is returned as in `amend`."""
        refused: dict[str, str] = {}
        self._in_parts(gone, lambda ids: refused.update(self._transact(partial(_cancel_all, ids=ids, seen=seen))))
        return refused

    # -- the rest ----------------------------------------------------------------------------------------------------

    def put_rest(self, limits: dict[str, Any], extra: dict[str, Any]) -> None:
        """Enter limits, by role and `total`, and what the file says beside."""

        def put(desk: Desk) -> None:
            before = desk.limits or {"roles": {}, "total": None}
            roles = {**before["roles"], **{role: n for role, n in limits.items() if role != "total"}}
            after = {**before, "roles": roles, "total": limits.get("total", before.get("total"))}
            if limits and after != before:
                desk.view.put(LIMITS, after)
            kept = desk.view.get(EXTRA) or {}
            if not files.is_same(kept.get("extra", {}), extra):
                desk.view.put(EXTRA, {**kept, "extra": extra})

        self._transact(put)


def _reserve(desk: Desk, count: int) -> int:
    """Numbers for so many jobs; the first of them."""
    value = desk.view.get(NUMBERS) or {}
    before = int(value.get("submitted", 0))
    desk.view.put(NUMBERS, {**value, "submitted": before + count})
    return before + 1


def _put(desk: Desk, *, batch: list[Job], leases: Mapping[str, Task]) -> None:
    mine = {job["id"]: job for job in batch}
    for job in batch:
        if desk.find(job["id"]) is not None:
            raise UsageError(f"there is a job {job['id']} by now", hint="import the file again", job=job["id"])
    for job in batch:
        job["waits_for"] = [one for one in job["waits_for"] if not _is_done(desk, mine, one)]
        desk.put_own(None, job)
        if job["id"] in leases:
            _claim(desk, job, leases[job["id"]])
    for job in batch:
        _tell(desk, mine, job)


def _is_done(desk: Desk, mine: Mapping[str, Job], job_id: str) -> bool:
    other = mine.get(job_id) or desk.find(job_id)
    return other is not None and other["status"] == "done"


def _claim(desk: Desk, job: Job, task: Task) -> None:
    """The claim of a task whose lease has not run out: it goes on, under a token of ours."""
    if full := rules.full(desk.limits, desk.active, job["role"]):
        raise WipLimitReached(
            f"{job['id']} is being worked on, and {full['in_progress']} jobs are in progress; at most {full['limit']}",
            hint="raise wip_limits in the file, or end one of its leases",
            **full,
        )
    said = task["lease"]
    ttl_s, token = float(said["ttl_seconds"]), desk.view.revision
    lease: Any = {name: said[name] for name in files.LEASE_FIELDS if name in said and name != "token"}
    lease |= {"task_id": job["id"], "role": job["role"], "ttl_seconds": ttl_s, "token": token}
    if why := secure(desk, job, lease):
        raise UsageError(f"{job['id']} is being worked on, and {why}", job=job["id"])
    claimed: Job = {**job, "token": token}
    desk.put(job, claimed)
    desk.put_claim(lease)


def _tell(desk: Desk, mine: Mapping[str, Job], job: Job) -> None:
    """Those that a new job waits for, and those that wait for it, know of it."""
    for needed in job["waits_for"]:
        other = None if needed in mine else desk.find(needed)
        if other is not None and job["id"] not in other["dependents"]:
            desk.put_own(other, {**other, "dependents": [*other["dependents"], job["id"]]})
    for waiting in job["dependents"]:
        other = None if waiting in mine else desk.find(waiting)
        if other is None:
            continue
        if job["status"] == "done":
            desk.put(other, jobs.without(other, job["id"]))
        elif other["status"] in rules.FINAL and job["parent"] == waiting:
            raise UsageError(f"{waiting} is {other['status']} by now: it gets no more jobs", job=waiting)
        elif job["id"] not in other["waits_for"] and job["parent"] == waiting:
            desk.put_own(other, {**other, "waits_for": [*other["waits_for"], job["id"]]})


def _amend_all(
    desk: Desk, *, ids: Sequence[str], edits: Mapping[str, dict[str, Any]], seen: Mapping[str, Task]
) -> dict[str, str]:
    refused = {}
    for job_id in ids:
        job, lease = desk.job(job_id), desk.active.get(job_id)
        now = files.task_of(job, lease)
        if not all(files.is_same(merging.value(now, one), merging.value(seen[job_id], one)) for one in edits[job_id]):
            refused[job_id] = LEFT
            continue
        try:
            _amend(desk, job, lease, edits[job_id])
        except CoordinationError as exc:
            refused[job_id] = exc.message
    return refused


def _cancel_all(desk: Desk, *, ids: Sequence[str], seen: Mapping[str, Task]) -> dict[str, str]:
    refused = {}
    for job_id in ids:
        job = desk.job(job_id)
        if job["status"] != seen[job_id]["status"]:
            refused[job_id] = LEFT
            continue
        try:
            if job["token"] is not None:
                raise UsageError("it was taken out of the file, and somebody works on it")
            why = "it was taken out of the queue file"
            desk.put(job, jobs.set_aside(job, None, "cancel", at=desk.at, reason=why))
        except CoordinationError as exc:
            refused[job_id] = exc.message
    return refused


def _amend(desk: Desk, job: Job, lease: Lease | None, edits: dict[str, Any]) -> None:
    """Change one job, or raise before anything is changed."""
    now = files.task_of(job, lease)
    for name in edits:
        if why := merging.why_not(now, name):
            raise UsageError(why)
    tied = _tied(desk, job, edits["dependencies"]) if "dependencies" in edits else {}
    before_dependencies = {**job, "waits_for": tied.get("", job["waits_for"])}
    after = merging.amended(before_dependencies, edits, at=desk.at)  # type: ignore[arg-type]
    changes: list[tuple[Job, Job]] = [(job, after)]
    for other, dependents in tied.items():
        if other and (one := desk.find(other)) is not None:
            changes.append((one, {**one, "dependents": dependents}))
    for _, changed in changes:
        desk.check_own(changed)
    for one, changed in changes:
        desk.put(one, changed)
    if after["status"] == "done":
        desk.finished(after)


def _tied(desk: Desk, job: Job, wanted: list[str]) -> dict[str, list[str]]:
    """What a job waits for with other dependencies (under ""), and the dependents of those that this changes."""
    job_id = job["id"]
    found: dict[str, list[str]] = {"": [one for one in job["waits_for"] if _is_part(desk, job, one)]}
    for needed in wanted:
        other = desk.find(needed)
        if other is None:
            raise UsageError(f"it depends on {needed}, and there is no such job")
        if other["status"] != "done":
            found[""] = [*dict.fromkeys([*found[""], needed])]
            if job_id not in other["dependents"]:
                found[needed] = [*other["dependents"], job_id]
    for needed in job["dependencies"]:
        other = desk.find(needed)
        if other is not None and needed not in found[""]:
            found[needed] = [one for one in other["dependents"] if one != job_id]

    def waits_for(one: str) -> list[str]:
        if one == job_id:
            return found[""]
        other = desk.find(one)
        return other["waits_for"] if other is not None else []

    if cycle := graph.cycle([job_id], waits_for):
        raise UsageError(f"they would wait for each other for ever: {' -> '.join(cycle)}", cycle=cycle)
    return found


def _is_part(desk: Desk, job: Job, needed: str) -> bool:
    """Whether a job waits for another one as its sub-task, or for something that is gone."""
    other = desk.find(needed)
    return needed not in job["dependencies"] or (other is not None and other["parent"] == job["id"])
