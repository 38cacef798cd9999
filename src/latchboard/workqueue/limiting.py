"""Limiting: how many jobs may be in progress, by role and in total: set, and told beside how many are.

What holds them is `claiming`, in the same commit as a claim. Protocol: protocol/workqueue.md, "Claim".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import workqueue as rules
from latchboard.workqueue.desk import LIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal

    from latchboard.workqueue.desk import Desk


def set_limits(desk: Desk, roles: Mapping[str, int | None], total: int | Literal["keep"] | None) -> dict[str, Any]:
    """Change limits, as `WorkQueue.set_limits` says; what they are then. Raises UsageError."""
    if "total" in roles:
        raise UsageError("total is no role: it is that of all of them", hint="`latchboard queue limits --total 6`")
    before = desk.limits or {"roles": {}, "total": None}
    known = {role: limit for role, limit in {**before["roles"], **roles}.items() if limit is not None}
    after = {**before, "roles": known, "total": before.get("total") if total == "keep" else total}
    if wrong := rules.check_limits(after):
        raise UsageError(f"these are no limits: {wrong}", hint=f"0 to {rules.WIP_LIMIT_MAX}, by role")
    if after != before:
        desk.view.put(LIMITS, after)
    return after


def told(desk: Desk) -> dict[str, Any]:
    """What `WorkQueue.limits` answers."""
    own = desk.limits["roles"] if desk.limits else {}
    busy = [lease["role"] for lease in desk.active.values()]
    roles = {
        role: {"limit": rules.limit(desk.limits, role), "in_progress": busy.count(role), "is_default": role not in own}
        for role in dict.fromkeys([*rules.WIP_LIMITS, *sorted(own), *sorted(busy)])
    }
    total = desk.limits.get("total") if desk.limits else None
    return {"roles": roles, "total": total, "in_progress": len(busy), "revision": desk.view.revision}
