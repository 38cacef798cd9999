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
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.workqueue.desk import Desk

    Claimed = dict[str, Any]

HELD = "its files are locked by others"
NO_ROOM = "the record of claims has no room for it"

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
    refused: dict[str, list[str]] = {HELD: [], NO_ROOM: []}
    taken_names: set[str] = set()  # files that a job in front stands in line for: whoever names one is behind it
    for one in ids:
        job = desk.standing(one, f"ready.{role}")
        is_enough = sum(map(len, refused.values())) >= _TRIED_COUNT_MAX
        if job["files"] and _is_passed(desk, job, taken_names, is_enough=is_enough):
            continue
        lease = leases.new(one, role=role, owner=owner, token=desk.view.revision, ttl_s=ttl_s, now=desk.now)
        lease["request"] = request
        missing = secure(desk, job, lease)
        if not missing:
            after = jobs.claimed(job, lease["token"], desk.at)
            desk.put(job, after)
            desk.put_claim(lease)
            return {"job": after, "lease": lease}
        refused[missing].append(one)
        if not job["files"]:
            break  # there is no room for the smallest claim there is
        if desk.files.place(job) is not None:
            taken_names.update(job["files"])
    return refusing.nothing_ready(desk, role, refused[HELD], refused[NO_ROOM])


def _is_passed(desk: Desk, job: Job, taken_names: set[str], *, is_enough: bool) -> bool:
    """Whether a job that names files need not be tried; one that has a place may be the first in line of its files."""
    if not is_enough and taken_names.isdisjoint(job["files"]):
        return False
    place = desk.files.place(job)
    return place is None or (is_enough and "is_next" not in place)


def secure(desk: Desk, job: Job, lease: Lease) -> str:
    """Make sure of what a claim needs, and enter it into its lease: room in the record of claims, and its files.

    Returns:
        Why it cannot be made: `HELD`, `NO_ROOM`; empty: it can.
    """
    if not job["files"]:
        return "" if desk.has_room(lease) else NO_ROOM
    asked = desk.files.request(job, lease["owner"], lease["ttl_seconds"])
    if asked is None:
        return HELD
    lease["locks"], lease["lock_request"] = {want["name"]: lease["token"] for want in asked.wants}, asked.request
    if not desk.has_room(lease):
        return NO_ROOM
    taken = desk.files.take(job, asked, desk.active)
    if taken is None:
        return HELD
    lease["locks"] = taken
    return ""
