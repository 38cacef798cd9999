"""Refusing: why a job cannot be claimed: who is in the way, since when, and what to do next.

Protocol: protocol/workqueue.md, "Claim".
"""

from __future__ import annotations

from latchboard.errors import NothingReady, NotReady, WipLimitReached, WrongStatus
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.workqueue import Job
    from latchboard.workqueue.desk import Desk

_SAID_COUNT = 3
_HOLDERS_COUNT_MAX = 20


def full(desk: Desk, role: str) -> WipLimitReached | None:
    """As many jobs are in progress as may be; None: they are not."""
    found = rules.full(desk.limits, desk.active, role)
    if found is None:
        return None
    count, limit, whose = found["in_progress"], found["limit"], f" of role {role}" if found["role"] else ""
    raised = f"{role}={limit + 1}" if found["role"] else f"--total {limit + 1}"
    holders = [_holder(desk, one["task_id"]) for one in desk.active.values() if found["role"] in (None, one["role"])]
    said = [f"{one['agent']} works on {one['name']} since {one['since']}" for one in holders[:_SAID_COUNT]]
    if count > len(said):
        said.append(f"{count - len(said)} more")
    are = "1 job{} is" if count == 1 else f"{count} jobs{{}} are"
    return WipLimitReached(
        f"{are.format(whose)} in progress, and at most {limit} may be{': ' if said else ''}{', '.join(said)}",
        hint=f"{'wait until one is done, or ' if count else ''}raise the limit: `latchboard queue limits {raised}`",
        **found,
        holders=holders[:_HOLDERS_COUNT_MAX],
    )


def nothing_ready(desk: Desk, role: str, held: list[str], no_room: list[str]) -> NothingReady:
    """No job could be claimed; says when to look again, if only time is missing."""
    waiting = [(line, place) for line in rules.WAITING_LINES for place in desk.first(line, 1)]
    times = [ready_at for line, place in waiting if (ready_at := desk.standing(place[2], line)["ready_at"])]
    blocked = [{**one, "job": job_id} for job_id in held for one in desk.files.blocked_by.get(job_id, [])]
    why = f": the files of {', '.join(held[:_SAID_COUNT])} are not free" if held else ""
    if no_room:
        names = ", ".join(no_room[:_SAID_COUNT])
        why += f"{' and' if held else ':'} the record of claims is too full for {names} until one ends"
    said = [f"{one['agent']} {_doing(one)} since {one['since']}" for one in blocked[:_SAID_COUNT]]
    return NothingReady(
        f"no job is ready for {rules.with_article(role)}{why}{': ' if said else ''}{', '.join(said)}",
        hint="`latchboard queue list` shows what there is, `latchboard queue graph` what it waits for",
        role=role,
        held=held,
        no_room=no_room,
        holders=blocked[:_HOLDERS_COUNT_MAX],
        ready_at=min(times, default=None),
    )


def _doing(one: dict[str, Any]) -> str:
    return "waits for them" if one.get("waits") else f"holds {one['name']}"


def not_ready(job: Job) -> NotReady:
    """A job waits for others, or for its time."""
    others = ", ".join(job["waits_for"][:5])
    waits, way = f"waits for {others}", "`latchboard queue graph` shows the whole way"
    pauses, until = f"is not to be claimed before {job['ready_at']}", "ask again then, or claim another one"
    return NotReady(
        f"{job['id']} {waits if others else pauses}",
        hint=way if others else until,
        job=job["id"],
        waits_for=job["waits_for"],
        ready_at=job["ready_at"],
    )


def wrong_turn(desk: Desk, job: Job, role: str) -> WrongStatus:
    """A job that was named is not to be claimed, or not by that role."""
    by = rules.with_article(role)
    if job["id"] in desk.active:
        holder = _holder(desk, job["id"])
        status = f"{job['status']}: {holder['agent']} works on it since {holder['since']}"
        return jobs.wrong_status(job, "claim", f"{job['id']} is {status}; {by} cannot claim it", holders=[holder])
    whose = f" for {rules.with_article(job['role'])}" if job["status"] in rules.WORK_STATUS else ""
    return jobs.wrong_status(job, "claim", f"{job['id']} is {job['status']}{whose}: {by} cannot claim it")


def _holder(desk: Desk, job_id: str) -> dict[str, Any]:
    """Who has claimed a job, as the errors of locks tell it."""
    lease = desk.active[job_id]
    left_s = round(leases.remaining_s(lease, desk.now), 1)
    held = {"agent": lease["owner"], "name": job_id, "since": lease["started_at"], "remaining_s": left_s}
    return {**held, "reason": f"job {job_id}"}
