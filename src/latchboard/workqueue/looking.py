"""Looking: what is in the queue, for people and for tests; reads only, and costs what there is.

Protocol: protocol/workqueue.md, "Looking".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_job as jobs
from latchboard.rules import workqueue_lease as leases
from latchboard.workqueue.lines import malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.workqueue import Job, Lease
    from latchboard.store.port import Store


class Picture:
    """The whole queue at one revision.

    Attributes:
        revision: Which.
        jobs: By id, in the order in which they were submitted.
        active: Claims, by job.
        limits: The record of limits; None: the defaults count.
        damaged: Jobs that cannot be read; they are in nobody's way, and nobody gets them.
    """

    def __init__(self, store: Store) -> None:
        snapshot = store.read("jobs/", "queue/active", "queue/limits")
        self.revision = snapshot.revision
        self.damaged: list[MalformedRecord] = []
        self.jobs: dict[str, Job] = {}
        found: list[Any] = []
        for key, value in snapshot.scan("jobs/", damaged=self.damaged):
            if wrong := jobs.check_job(value, key[len("jobs/") :]):
                self.damaged.append(malformed(key, wrong))
            else:
                found.append(value)
        for job in sorted(found, key=lambda one: (one["number"], one["id"])):
            self.jobs[job["id"]] = job
        active = snapshot.get("queue/active")
        if active is not None and (wrong := leases.check_active(active)):
            raise malformed("queue/active", wrong)
        self.active: dict[str, Lease] = active["claims"] if active else {}
        self.limits = snapshot.get("queue/limits")
        if self.limits is not None and (wrong := rules.check_limits(self.limits)):
            raise malformed("queue/limits", wrong)

    def listed(self, *, status: str | None = None, role: str | None = None, owner: str | None = None) -> list[Job]:
        """Jobs with this status, of this role, claimed by this agent; in the order in which they would be claimed.

        Raises:
            UsageError: There is no such status.
        """
        if status is not None and status not in rules.NEXT:
            raise UsageError(f"{status!r:.80} is no status", hint=f"known: {', '.join(rules.NEXT)}")
        found = [
            job
            for job in self.jobs.values()
            if status in (None, job["status"])
            and role in (None, job["role"])
            and (owner is None or (job["id"] in self.active and self.active[job["id"]]["owner"] == owner))
        ]
        return sorted(found, key=lambda job: (job["priority"], job["number"]))

    def stats(self, now: Now) -> dict[str, Any]:
        """How many there are of each, and what is stuck.

        Returns:
            `{"jobs", "by_status": {status: count}, "roles": {role: {"ready", "waiting", "in_progress", "limit"}},
            "total_limit", "expired": [id], "stuck": [{"job", "waits_for", "status"}], "dead": [id]}`. `ready` counts
            what can be claimed now but for the limits; `waiting` what waits for others or for its time; `stuck` is what
            waits for a job that is dead, cancelled, blocked, or gone.
        """
        by_status: dict[str, int] = {}
        roles: dict[str, dict[str, int]] = {}
        for job in self.jobs.values():
            by_status[job["status"]] = by_status.get(job["status"], 0) + 1
            if job["status"] in rules.WORK_STATUS:
                counts = roles.setdefault(job["role"], {"ready": 0, "waiting": 0, "in_progress": 0})
                counts["waiting" if job["waits_for"] or job["ready_at"] is not None else "ready"] += 1
        for lease in self.active.values():
            roles.setdefault(lease["role"], {"ready": 0, "waiting": 0, "in_progress": 0})["in_progress"] += 1
        return {
            "jobs": len(self.jobs),
            "by_status": {status: by_status[status] for status in rules.NEXT if status in by_status},
            "roles": {r: {**counts, "limit": rules.limit(self.limits, r)} for r, counts in sorted(roles.items())},
            "total_limit": self.limits.get("total") if self.limits else None,
            "expired": [i for i, lease in self.active.items() if leases.remaining_s(lease, now) <= 0],
            "stuck": self.stuck(),
            "dead": [job["id"] for job in self.jobs.values() if job["status"] == "dead"],
        }

    def stuck(self) -> list[dict[str, Any]]:
        """Who waits for something that will not be done unless somebody does something."""
        found = []
        for job in self.jobs.values():
            for needed in job["waits_for"] if job["status"] not in rules.FINAL else ():
                other = self.jobs.get(needed)
                status = other["status"] if other is not None else "gone"
                if status in ("dead", "cancelled", "blocked", "gone"):
                    found.append({"job": job["id"], "waits_for": needed, "status": status})
        return found

    def graph(self) -> dict[str, Any]:
        """Jobs and who waits for whom.

        Returns:
            `{"jobs": [{"id", "title", "role", "status"}], "edges": [{"from", "to", "kind", "is_open"}]}`: `to` waits
            for `from`; `kind` is `dependency` or `sub-task`; an edge is open while it is waited for.
        """
        nodes = [{k: job[k] for k in ("id", "title", "role", "status")} for job in self.jobs.values()]
        edges = []
        for job in self.jobs.values():
            for needed in job["dependencies"]:
                is_open = needed in job["waits_for"]
                edges.append({"from": needed, "to": job["id"], "kind": "dependency", "is_open": is_open})
            if job["parent"] is not None:
                parent = self.jobs.get(job["parent"])
                is_open = parent is not None and job["id"] in parent["waits_for"]
                edges.append({"from": job["id"], "to": job["parent"], "kind": "sub-task", "is_open": is_open})
        return {"jobs": nodes, "edges": edges}
