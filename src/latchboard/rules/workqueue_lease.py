"""The lease of a claimed job: it ends unless it is renewed, and nobody but its token ends it sooner; pure.

Law 1. Within one boot its age is monotonic; across boots and hosts it is by the wall clock, and never below zero: a
heartbeat in the future, or one that cannot be read, expires nobody.
Law 2. Who shows another token than the newest is refused, whatever the clock says.

Protocol: protocol/workqueue.md, "Lease".
"""

from __future__ import annotations

from latchboard.rules import lease as leases
from latchboard.rules.agent import is_agent
from latchboard.rules.workqueue import is_id, is_role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.rules.workqueue import Lease


def new(job_id: str, *, role: str, owner: str, token: int, ttl_s: float, now: Now) -> Lease:
    """What a claim writes."""
    at = leases.moment(now)
    return {
        "task_id": job_id,
        "role": role,
        "owner": owner,
        "token": token,
        "started_at": at["at"],
        "ttl_seconds": ttl_s,
        "heartbeat_at": at["at"],
        "heartbeat_mono_s": at["mono_s"],
        "heartbeat_boot": at["boot"],
    }


def renewed(lease: Lease, now: Now) -> Lease:
    """What a renewal writes."""
    at = leases.moment(now)
    return {**lease, "heartbeat_at": at["at"], "heartbeat_mono_s": at["mono_s"], "heartbeat_boot": at["boot"]}


def remaining_s(lease: Lease, now: Now) -> float:
    """How long it still lasts, seconds; zero or less: expired."""
    beat: leases.Moment = {
        "at": lease["heartbeat_at"],
        "mono_s": lease.get("heartbeat_mono_s", 0.0),
        "boot": lease.get("heartbeat_boot", ""),
    }
    return lease["ttl_seconds"] - leases.age_s(beat, now)


def check_active(value: dict[str, Any]) -> str:
    """What is wrong with the record of claims; empty: nothing."""
    claims = value.get("claims")
    if not isinstance(claims, dict):
        return "claims is no map"
    for job_id, lease in claims.items():
        if not isinstance(lease, dict) or not _is_lease(lease) or lease["task_id"] != job_id:
            return f"the claim of {job_id!r:.80} cannot be read"
    return ""


def _is_lease(lease: dict[str, Any]) -> bool:
    names = is_id(lease.get("task_id")) and is_role(lease.get("role")) and is_agent(lease.get("owner"))
    numbers = type(lease.get("token")) is int and leases.is_ttl(lease.get("ttl_seconds"))
    times = isinstance(lease.get("started_at"), str) and isinstance(lease.get("heartbeat_at"), str)
    beat = {"at": "", "boot": lease.get("heartbeat_boot", ""), "mono_s": lease.get("heartbeat_mono_s", 0.0)}
    return names and numbers and times and leases.check_moment(beat)
