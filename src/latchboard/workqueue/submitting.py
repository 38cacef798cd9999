"""Submitting: ids and numbers given, dependencies tied, a cycle refused and named.

Protocol: protocol/workqueue.md, "Submit".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_graph as graph
from latchboard.rules import workqueue_job as jobs
from latchboard.workqueue.desk import NUMBERS
from latchboard.workqueue.lines import malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latchboard.rules.workqueue import Job
    from latchboard.workqueue.desk import Desk

BATCH_COUNT_MAX = 1000


def submit(desk: Desk, drafts: Sequence[dict[str, Any]], by: str) -> list[Job]:
    """Make the jobs of one commit."""
    if not 0 < len(drafts) <= BATCH_COUNT_MAX:
        raise UsageError(f"{len(drafts)} jobs at once; 1 to {BATCH_COUNT_MAX}")
    new: dict[str, Job] = {}
    number = _submitted_count(desk)
    for draft in drafts:
        number += 1
        job_id = draft.get("id") or _free_id(desk, number)
        job = jobs.compose(draft, job_id=job_id, number=number, by=by, at=desk.at)
        if job_id in new or desk.find(job_id) is not None:
            raise UsageError(f"there is a job {job_id} already", hint="leave the id out, or choose another", job=job_id)
        new[job_id] = job
    others = _tie(desk, new)
    _refuse_cycle(desk, {**others, **new}, new)
    desk.view.put(NUMBERS, {**(desk.view.get(NUMBERS) or {}), "submitted": number})
    for job_id, other in others.items():
        desk.put_own(desk.job(job_id), other)
    for job in new.values():
        desk.put_own(None, job)
    return list(new.values())


def _submitted_count(desk: Desk) -> int:
    value = desk.view.get(NUMBERS)
    if value is None:
        return 0
    if type(value.get("submitted")) is not int or value["submitted"] < 0:
        raise malformed(NUMBERS, "submitted is no number")
    return int(value["submitted"])


def _free_id(desk: Desk, number: int) -> str:
    """`job-<number>`, with a mark behind it where somebody chose that very id."""
    job_id = f"job-{number}"
    while desk.find(job_id) is not None:
        job_id += "a"
    return job_id


def _tie(desk: Desk, new: dict[str, Job]) -> dict[str, Job]:
    """Enter who waits for whom on both sides; the jobs that were there before are returned changed."""
    others: dict[str, Job] = {}

    def other(job_id: str, whose: str) -> Job:
        found = new.get(job_id) or others.get(job_id) or desk.find(job_id)
        if found is None:
            raise UsageError(
                f"{whose} names {job_id}, and there is no such job", hint="submit it before, or together", job=job_id
            )
        if job_id not in new and job_id not in others:
            found = others[job_id] = {**found, "dependents": [*found["dependents"]], "waits_for": [*found["waits_for"]]}
        return found

    for job in new.values():
        for needed in job["dependencies"]:
            _wait(job, other(needed, job["id"]))
        if job["parent"] is not None:
            parent = other(job["parent"], job["id"])
            if parent["status"] in rules.FINAL:
                raise UsageError(f"{parent['id']} is {parent['status']}: it gets no more jobs", job=parent["id"])
            _wait(parent, job)
    return others


def _wait(job: Job, needed: Job) -> None:
    if needed["status"] != "done" and needed["id"] not in job["waits_for"]:
        job["waits_for"].append(needed["id"])
        needed["dependents"].append(job["id"])


def _refuse_cycle(desk: Desk, changed: dict[str, Job], new: dict[str, Job]) -> None:
    """Nobody could wait for a new job before: a circle has two new ones in it, or a new one and its parent.

    So where no parent was there before, those that were are not read: what a submission costs does not grow with them.
    """
    parents = {job["parent"] for job in new.values()}
    looks_behind = not parents.isdisjoint(changed.keys() - new.keys())

    def waits_for(job_id: str) -> list[str]:
        if job_id not in new and not looks_behind:
            return []
        job = changed.get(job_id) or desk.find(job_id)
        return job["waits_for"] if job else []

    if cycle := graph.cycle(new, waits_for):
        raise UsageError(
            f"these jobs would wait for each other for ever: {' -> '.join(cycle)}",
            hint="take one of these dependencies away; nothing was submitted",
            cycle=cycle,
        )
