"""Work queue: the statuses of a job, what may happen in each, and whose turn it is; pure.

Law 1. An event that the table does not have in a status is refused and changes nothing.
Law 2. A job is in one place: in line where it can be claimed, among those that have to wait until a time, among the
claims, or nowhere (`place`). The place is a function of the record, so that no two records can say different things.
Law 3. A claim is ended by its token alone, or by the clock; a job whose claim has ended has another token or none.

Protocol: protocol/workqueue.md. The statuses are those of the founding queue file; `dead` is ours.
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NotRequired, TypedDict

    class Attempt(TypedDict):
        """One claim of a job that has ended."""

        token: int
        owner: str
        role: str
        started_at: str
        ended_at: str
        outcome: str
        error: NotRequired[str]
        said: NotRequired[str]
        became: NotRequired[str]

    class Job(TypedDict):
        """One unit of work, in `jobs/<id>`."""

        id: str
        number: int
        title: str
        role: str
        status: str
        priority: int
        dependencies: list[str]
        waits_for: list[str]
        dependents: list[str]
        parent: str | None
        files: list[str]
        then: list[str]
        attempts_max: int
        attempts_count: int
        attempts: list[Attempt]
        token: int | None
        result: Any
        payload: Any
        created_at: str
        created_by: str
        changed_at: str
        ready_at: str | None
        is_paused: NotRequired[bool]
        reason: NotRequired[str]
        aside_from: NotRequired[str]
        already: NotRequired[bool]  # in answers alone
        extra: NotRequired[dict[str, Any]]

    class Lease(TypedDict):
        """One claim that has not ended, in `queue/active`."""

        task_id: str
        role: str
        owner: str
        token: int
        started_at: str
        ttl_seconds: float
        heartbeat_at: str
        heartbeat_mono_s: NotRequired[float]
        heartbeat_boot: NotRequired[str]
        request: NotRequired[str]
        locks: NotRequired[dict[str, int]]
        lock_request: NotRequired[str]


READY_STATUS = {
    "planner": "needs_plan",
    "builder": "ready",
    "tester": "awaiting_test",
    "refiner": "needs_adapt",
    "integrator": "ready_for_integrator",
}
"""The status in which a role claims; any other role claims what is `ready` for it."""

WORK_STATUS = {
    "needs_plan": "planning",
    "ready": "in_progress",
    "awaiting_test": "testing",
    "needs_adapt": "adapting",
    "ready_for_integrator": "integrating",
}
"""What a job becomes by being claimed. The statuses on the left are the waiting ones, on the right the active ones."""

FINAL = ("done", "cancelled", "dead")

_AFTER_WORK = ("needs_plan", "ready", "awaiting_test", "needs_adapt", "ready_for_integrator", "done")
_AFTER_PLANNING = ("planning_complete", *_AFTER_WORK)
_ASIDE = {"block": ("blocked",), "cancel": ("cancelled",)}

NEXT: dict[str, dict[str, tuple[str, ...]]] = {
    "needs_plan": {"claim": ("planning",), **_ASIDE},
    "planning": {
        "renew": ("planning",),
        "complete": _AFTER_PLANNING,
        "fail": ("needs_plan", "dead"),
        "expire": ("needs_plan", "dead"),
        "release": ("needs_plan",),
        **_ASIDE,
    },
    "planning_complete": {"accept": ("ready",), **_ASIDE},
    "ready": {"claim": ("in_progress",), **_ASIDE},
    "in_progress": {
        "renew": ("in_progress",),
        "complete": _AFTER_WORK,
        "fail": ("ready", "dead"),
        "expire": ("ready", "dead"),
        "release": ("ready",),
        **_ASIDE,
    },
    "awaiting_test": {"claim": ("testing",), **_ASIDE},
    "testing": {
        "renew": ("testing",),
        "complete": _AFTER_WORK,
        "fail": ("awaiting_test", "dead"),
        "expire": ("awaiting_test", "dead"),
        "release": ("awaiting_test",),
        **_ASIDE,
    },
    "needs_adapt": {"claim": ("adapting",), **_ASIDE},
    "adapting": {
        "renew": ("adapting",),
        "complete": _AFTER_WORK,
        "fail": ("needs_adapt", "dead"),
        "expire": ("needs_adapt", "dead"),
        "release": ("needs_adapt",),
        **_ASIDE,
    },
    "ready_for_integrator": {"claim": ("integrating",), **_ASIDE},
    "integrating": {
        "renew": ("integrating",),
        "complete": _AFTER_WORK,
        "fail": ("ready_for_integrator", "dead"),
        "expire": ("ready_for_integrator", "dead"),
        "release": ("ready_for_integrator",),
        **_ASIDE,
    },
    "blocked": {"unblock": (*WORK_STATUS, "planning_complete"), "cancel": ("cancelled",)},
    "done": {},
    "cancelled": {"requeue": tuple(WORK_STATUS)},
    "dead": {"requeue": tuple(WORK_STATUS), "cancel": ("cancelled",)},
}
"""Status -> event -> statuses that it can become. Where there are several, `complete` says which, and the others follow
from the job: its role, and whether it has attempts left."""

WIP_LIMITS = {"planner": 1, "builder": 3, "tester": 2, "refiner": 1, "integrator": 1}
WIP_LIMIT_OTHERS = 1
WIP_LIMIT_MAX = 100_000

ROLE_CHARS_MAX = 32
ID_CHARS_MAX = 100
_ROLE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_ID = _ROLE | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ.")


def is_role(role: object) -> bool:
    """Whether `role` can be a role: 1 to 32 of `a-z 0-9 _ -`, the first a letter."""
    return type(role) is str and 0 < len(role) <= ROLE_CHARS_MAX and "a" <= role[0] <= "z" and _ROLE.issuperset(role)


def check_role(role: object) -> str:
    """The role, if it can be one. Raises UsageError."""
    if not is_role(role):
        raise UsageError(
            f"a role is 1 to {ROLE_CHARS_MAX} of a-z, 0-9, _ and -, with a letter in front, not {role!r:.80}",
            hint=f"the founding ones are {', '.join(READY_STATUS)}",
        )
    return str(role)


def is_id(job_id: object) -> bool:
    """Whether `job_id` can be a job's id: 1 to 100 of `A-Z a-z 0-9 . _ -`, the first a letter or a digit."""
    return type(job_id) is str and 0 < len(job_id) <= ID_CHARS_MAX and job_id[0] not in "._-" and _ID.issuperset(job_id)


def check_id(job_id: object, *, hint: str = "`latchboard queue list` shows what there is") -> str:
    """The id, if it can be one. Raises UsageError with this hint."""
    if not is_id(job_id):
        raise UsageError(
            f"a job's id is 1 to {ID_CHARS_MAX} of A-Z, a-z, 0-9, dot, _ and -, with a letter or a digit in front, "
            f"not {job_id!r:.80}",
            hint=hint,
        )
    return str(job_id)


def with_article(role: str) -> str:
    """`a builder`, `an integrator`."""
    return f"an {role}" if role.startswith(("a", "e", "i", "o", "u")) else f"a {role}"


def ready_status(role: str) -> str:
    """In which status a job waits for this role."""
    return READY_STATUS.get(role, "ready")


def role_in(status: str, role: str) -> str:
    """Whose turn it is when a job of this role comes into a waiting status.

    What is `ready` belongs to the builder, or stays with a role that is none of the founding five.
    """
    if status == "ready":
        return "builder" if role in READY_STATUS else role
    return next(known for known, waiting in READY_STATUS.items() if waiting == status)


def may(status: str, event: str, to: str | None = None) -> bool:
    """Whether an event can happen in a status, and make it `to` where that is given."""
    targets = NEXT.get(status, {}).get(event)
    return targets is not None and (to is None or to in targets)


def place(job: Job) -> tuple[str, list[Any]] | None:
    """The line that a job stands in and its place there, in the order of which a line is; None: in no line."""
    if job["status"] not in WORK_STATUS or job["waits_for"]:
        return None
    if job["ready_at"] is not None:
        return "paused" if job.get("is_paused") else "later", [job["ready_at"], job["number"], job["id"]]
    return f"ready.{job['role']}", [job["priority"], job["number"], job["id"]]


WAITING_LINES = ("later", "paused")
"""The lines of jobs that have a `ready_at`: what somebody said, and what a pause after an attempt makes. They are two
so that whoever looks at the end of the second finds what a wrong clock put there."""


def place_id(job: Job) -> str:
    """The id of a job's request for its files, in line and when they are granted: of each attempt another one."""
    return f"job.{job['id']}.{job['attempts'][-1]['token'] if job['attempts'] else 0}"


def limit(limits: dict[str, Any] | None, role: str) -> int:
    """How many jobs of a role may be in progress."""
    known = {**WIP_LIMITS, **(limits["roles"] if limits else {})}
    return int(known.get(role, WIP_LIMIT_OTHERS))


def full(limits: dict[str, Any] | None, active: dict[str, Lease], role: str) -> dict[str, Any] | None:
    """Which limit keeps a role from claiming: `{"role", "limit", "in_progress"}`, no role for all; None: none does."""
    of_role = sum(1 for lease in active.values() if lease["role"] == role)
    if of_role >= limit(limits, role):
        return {"role": role, "limit": limit(limits, role), "in_progress": of_role}
    total = limits.get("total") if limits else None
    if total is not None and len(active) >= total:
        return {"role": None, "limit": total, "in_progress": len(active)}
    return None


def check_limits(value: Any) -> str:
    """What is wrong with a record of limits; empty: nothing."""
    roles, total = value.get("roles"), value.get("total")
    if not isinstance(roles, dict):
        return "roles is no map of roles to limits"
    for role, n in roles.items():
        if not is_role(role):
            return f"{role!r:.80} is no role"
        if not _is_limit(n):
            return f"{role}: {n!r:.80} is no limit"
    return "" if total is None or _is_limit(total) else f"total: {total!r:.80} is no limit"


def _is_limit(value: object) -> bool:
    return type(value) is int and 0 <= value <= WIP_LIMIT_MAX
