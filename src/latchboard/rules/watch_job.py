"""Watch, of jobs: what a commit made of one; pure.

Told from the record alone: a job's times are those of the commits that changed it, its token is the revision of the
commit that claimed it. So nobody who follows the stream need remember ten thousand jobs.

Protocol: protocol/watch.md, "Events".
"""

from __future__ import annotations

from latchboard.clock import parse_iso
from latchboard.rules import workqueue as rules
from latchboard.rules.workqueue_job import check_job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.known import Change

    Told = list[tuple[str, dict[str, Any]]]

EXCERPT_CHARS_MAX = 200


def tell(change: Change) -> Told:
    """Events of a change of `jobs/<id>`, with their fields, in the order in which they happened."""
    job: Any = change.value
    if job is None or check_job(job, change.key[len("jobs/") :]):
        return []
    facts = {"job": job["id"], "title": job["title"][:EXCERPT_CHARS_MAX], "role": job["role"], "status": job["status"]}
    told: Told = []
    if job["created_at"] == change.at:
        more = {"priority": job["priority"], "waits_for": job["waits_for"]}
        told.append(("job.submitted", {**facts, "agent": job["created_by"], "token": None, **more}))
    if job["attempts"] and job["attempts"][-1].get("ended_at") == change.at:
        told.append(_ended(job, facts, job["attempts"][-1], change))
    if job["token"] == change.revision:
        told.append(("job.claimed", {**facts, "agent": change.who, "token": job["token"]}))
    if told or job["changed_at"] != change.at:
        return told
    if job["status"] in ("blocked", "cancelled"):
        return [(f"job.{job['status']}", _aside(job, facts, change, None))]
    line = rules.place(job)
    if line is not None and line[0] not in rules.WAITING_LINES:
        return [("job.ready", {**facts, "agent": change.who, "token": None})]
    return []


def _ended(job: Any, facts: dict[str, Any], attempt: Any, change: Change) -> tuple[str, dict[str, Any]]:
    """An attempt that ended in this commit."""
    outcome = attempt["outcome"]
    if outcome in ("blocked", "cancelled"):
        return f"job.{outcome}", _aside(job, facts, change, _text(attempt.get("owner")))
    role = attempt["role"] if rules.is_role(attempt.get("role")) else facts["role"]
    fields = {**facts, "role": role, "agent": _text(attempt.get("owner")), "token": attempt["token"]}
    fields["worked_s"] = _seconds(attempt.get("started_at"), change.at)
    if outcome in ("failed", "expired"):
        fields |= {"error": _text(attempt.get("error"))[-EXCERPT_CHARS_MAX:], "ready_at": job["ready_at"]}
    return f"job.{outcome if outcome in _OUTCOMES else 'released'}", fields


_OUTCOMES = ("completed", "failed", "expired", "released")


def _aside(job: Any, facts: dict[str, Any], change: Change, owner: str | None) -> dict[str, Any]:
    return {**facts, "agent": change.who, "token": None, "of": owner, "reason": _text(job.get("reason"))}


def _seconds(start: object, end: str) -> float | None:
    try:
        return round(max(0.0, parse_iso(end) - parse_iso(start)), 3)  # type: ignore[arg-type]  # it refuses what is no text
    except (ValueError, TypeError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
