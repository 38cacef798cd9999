"""Claiming: the first ready job of a role, within the limits, with the locks of its files.

Protocol: protocol/workqueue.md, "Claim".
"""

from __future__ import annotations

from itertools import islice

from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.workqueue import refusing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.errors import CoordinationError
    from latchboard.rules.workqueue import Job
    from latchboard.workqueue.desk import Desk

    Claimed = dict[str, Any]

_TRIED_COUNT_MAX = 32
_PASSED_COUNT_MAX = 128
"""So many jobs of a line are tried whose files are not free, and so many are passed in all, before it is said that none
is ready: what a claim costs has an end."""


def claim(
    desk: Desk, role: str, owner: str, *, ttl_s: float, request: str, job_id: str | None
) -> Claimed | CoordinationError:
    """Claim the first job of a role, or the one that is named; else the reason, which is not raised."""
    if job_id is not None:
        job = desk.job(job_id)
        if not rules.may(job["status"], "claim") or job["role"] != role:
            return refusing.wrong_turn(desk, job, role)
        if job["waits_for"] or job["ready_at"] is not None:
            return refusing.not_ready(job)
    if why := refusing.full(desk, role):
        return why
    in_line = islice(desk.line(f"ready.{role}").places(), _PASSED_COUNT_MAX)  # a sheet is read when it is come to
    ids: Iterable[str] = [job_id] if job_id is not None else (place[2] for place in in_line)
    held: list[str] = []
    taken_names: set[str] = set()  # files that a job in front stands in line for: whoever names one is behind it
    for one in ids:
        job = desk.standing(one, f"ready.{role}")
        if job["files"] and _is_passed(desk, job, taken_names, is_enough=len(held) >= _TRIED_COUNT_MAX):
            continue
        taken = _take(desk, job, owner, ttl_s, request)
        if taken is not None:
            return taken
        held.append(one)
        if desk.files.place(job) is not None:
            taken_names.update(job["files"])
    return refusing.nothing_ready(desk, role, held)


def _is_passed(desk: Desk, job: Job, taken_names: set[str], *, is_enough: bool) -> bool:
    """Whether a job that names files need not be tried; one that has a place may be the first in line of its files."""
    if not is_enough and taken_names.isdisjoint(job["files"]):
        return False
    place = desk.files.place(job)
    return place is None or (is_enough and "is_next" not in place)


def _take(desk: Desk, job: Job, owner: str, ttl_s: float, request: str) -> Claimed | None:
    """Claim a job that is in line; None: its files are not free."""
    taken = desk.files.take(job, owner, ttl_s, desk.active) if job["files"] else {}
    if taken is None:
        return None
    token = desk.view.revision
    lease = leases.new(job["id"], role=job["role"], owner=owner, token=token, ttl_s=ttl_s, now=desk.now)
    lease["request"] = request
    if taken:
        lease["locks"], lease["lock_request"] = taken, rules.place_id(job)
    after = jobs.claimed(job, token, desk.at)
    desk.put(job, after)
    desk.put_claim(lease)
    return {"job": after, "lease": lease}
