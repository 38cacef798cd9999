"""Returning: attempts that end without success, and jobs that come back into line: after a pause, or when it is over.

Protocol: protocol/workqueue.md, "Events".
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.rules.workqueue import Job, Lease
    from latchboard.settings import Settings
    from latchboard.workqueue.desk import Desk

_DUE_COUNT_MAX = 64
"""So many jobs of a line come back in one claim; the rest with the next one."""
_SKEW_S = 60.0
"""So far apart the clocks of two hosts may be."""
_ROOM_COUNT = 40
"""Keys that the return of a job may need: itself, its lines, grants of its locks."""


class Returning:
    """What comes back in one transaction."""

    __slots__ = ("_desk", "_jitter", "_settings")

    def __init__(self, desk: Desk, settings: Settings, jitter: Callable[[], float]) -> None:
        self._desk = desk
        self._settings = settings
        self._jitter = jitter

    def reclaim(self, job_id: str | None = None) -> bool:
        """Bring back what expired, and what has waited for its time; the job that is named, however many are before it.

        No pause ends later than the longest there is from now: one that does was written by a clock that was wrong.

        Returns:
            Whether that is all, and half of the commit's room is left for what it is done for. Otherwise it is to be
            committed by itself, and then done once more.
        """
        desk = self._desk
        room = desk.view.room
        for lease in [*desk.active.values()]:
            if leases.remaining_s(lease, desk.now) <= 0:
                if desk.view.room < min(room, _ROOM_COUNT + len(lease.get("locks", ()))):
                    return False
                error = f"the lease of {lease['owner']} ran out: no heartbeat since {lease['heartbeat_at']}"
                self.end(desk.at_work(lease), lease, "expire", error=error)
        last_at = iso(desk.now.wall_s + self._settings.queue_backoff_s_max + _SKEW_S)
        places = [(line, place) for line in rules.WAITING_LINES for place in desk.first(line, _DUE_COUNT_MAX)]
        places += [("paused", place) for place in desk.last("paused", _DUE_COUNT_MAX)]
        if job_id is not None and (named := rules.place(desk.job(job_id))) is not None:
            places.append(named)
        due = {place[2]: (line, place) for line, place in places if self._is_due(line, place, last_at)}
        for line, place in due.values():
            if desk.view.room < min(room, _ROOM_COUNT):
                return False
            job = desk.standing(place[2], line)
            desk.put(job, {**jobs.rested(job), "changed_at": desk.at})
        return desk.view.room * 2 >= room

    def _is_due(self, line: str, place: list[Any], last_at: str) -> bool:
        is_over = line in rules.WAITING_LINES and place[0] <= self._desk.at
        return is_over or (line == "paused" and place[0] > last_at)

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
