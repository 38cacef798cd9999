"""Columns: the queue as a board by status, with who works on what and what the limits leave; for people.

Protocol: protocol/workqueue.md, "Board".
"""

from __future__ import annotations

from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.workqueue.looking import Picture

CARDS_COUNT = 50
CARDS_COUNT_MAX = 1000
_ERROR_CHARS = 300
_ROLE_OF = {status: role for role, status in rules.READY_STATUS.items()}
_WORK_OF = {work: status for status, work in rules.WORK_STATUS.items()}


def columns(picture: Picture, now: Now, *, cards_count: int | None = CARDS_COUNT) -> dict[str, Any]:
    """The board: a column for each status that there are jobs in, in the order of the table of statuses.

    Args:
        picture: The queue.
        now: For what is left of leases.
        cards_count: Jobs shown of each column; the others are counted. None: all are shown.

    Returns:
        `{"revision", "jobs_count", "columns": [{"status", "role", "is_work", "count", "jobs": [card]}], "roles": {role:
        {"ready", "waiting", "in_progress", "limit"}}, "total": {"in_progress", "limit"}, "stuck", "damaged": [key]}`.
        A card is `{"id", "title", "role", "status", "priority", "owner", "since", "remaining_s", "waits_for",
        "ready_at", "attempts_count", "attempts_max", "files_count", "error"}`. First what is claimed first; of what is
        over the newest.
    """
    by_status: dict[str, list[Job]] = {}
    for job in picture.jobs.values():
        by_status.setdefault(job["status"], []).append(job)
    stats = picture.stats(now)
    return {
        "revision": picture.revision,
        "jobs_count": len(picture.jobs),
        "columns": [_column(picture, status, found, now, cards_count) for status, found in _ordered(by_status)],
        "roles": stats["roles"],
        "total": {"in_progress": len(picture.active), "limit": stats["total_limit"]},
        "stuck": stats["stuck"],
        "damaged": [exc.fields["key"] for exc in picture.damaged],
    }


def _ordered(by_status: dict[str, list[Job]]) -> list[tuple[str, list[Job]]]:
    return [(status, by_status[status]) for status in rules.NEXT if status in by_status]


def _column(picture: Picture, status: str, found: list[Job], now: Now, cards_count: int | None) -> dict[str, Any]:
    if status in rules.WORK_STATUS:
        found.sort(key=lambda job: (bool(job["waits_for"]), job["ready_at"] or "", job["priority"], job["number"]))
    elif status not in _WORK_OF:
        found.sort(key=lambda job: (job["changed_at"], job["number"]), reverse=True)
    cards = [_card(job, picture.active.get(job["id"]), now) for job in found[:cards_count]]
    role = _ROLE_OF.get(_WORK_OF.get(status, status))
    return {"status": status, "role": role, "is_work": status in _WORK_OF, "count": len(found), "jobs": cards}


def _card(job: Job, lease: Lease | None, now: Now) -> dict[str, Any]:
    """One job, as far as a board shows it."""
    error = next((attempt["error"] for attempt in reversed(job["attempts"]) if "error" in attempt), "")
    is_over = job["status"] in ("done", "cancelled")
    return {
        **{name: job[name] for name in ("id", "title", "role", "status", "priority")},
        "owner": lease["owner"] if lease else None,
        "since": lease["started_at"] if lease else job["changed_at"],
        "remaining_s": round(leases.remaining_s(lease, now), 1) if lease else None,
        "waits_for": job["waits_for"][:20],
        "ready_at": job["ready_at"],
        "attempts_count": job["attempts_count"],
        "attempts_max": job["attempts_max"],
        "files_count": len(job["files"]),
        "error": "" if is_over else error[-_ERROR_CHARS:],
    }
