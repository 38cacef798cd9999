"""Returning: attempts that end without success, and jobs that come back into line: after a pause, or when it is over.

Protocol: protocol/workqueue.md, "Events".
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.rules.workqueue import Job, Lease
    from latchboard.settings import Settings
    from latchboard.workqueue.desk import Desk

_DUE_COUNT_MAX = 64
"""So many jobs come back into line in one claim; the rest with the next one."""


class Returning:
    """What comes back in one transaction."""

    __slots__ = ("_desk", "_jitter", "_settings")

    def __init__(self, desk: Desk, settings: Settings, jitter: Callable[[], float]) -> None:
        self._desk = desk
        self._settings = settings
        self._jitter = jitter

    def reclaim(self) -> None:
        """Bring back what expired, and what has waited for its time."""
        desk = self._desk
        for lease in [*desk.active.values()]:
            if leases.remaining_s(lease, desk.now) <= 0:
                error = f"the lease of {lease['owner']} ran out: no heartbeat since {lease['heartbeat_at']}"
                self.end(desk.at_work(lease), lease, "expire", error=error)
        for place in desk.first("later", _DUE_COUNT_MAX):
            if place[0] > desk.at:
                break
            job = desk.standing(place[2], "later")
            desk.put(job, {**job, "ready_at": None, "changed_at": desk.at})

    def end(self, job: Job, lease: Lease, event: str, *, error: str, is_final: bool = False) -> Job:
        """End an attempt that failed or expired: the job waits, or is dead."""
        pause_s = jobs.backoff_s(
            job["attempts_count"],
            first_s=self._settings.queue_backoff_s,
            max_s=self._settings.queue_backoff_s_max,
            jitter=self._jitter(),
        )
        at, ready_at = self._desk.at, iso(self._desk.now.wall_s + pause_s)
        after = jobs.failed(job, lease, event, at=at, error=error, ready_at=ready_at, is_final=is_final)
        self._desk.put(job, after)
        self._desk.end_claim(lease)
        return after
