"""Queue file: jobs as the tasks of the founding queue file, read, checked, and written again; pure.

Law 1. What is no queue file through and through is refused as a whole, with the task and the field that are wrong.
Law 2. Fields that are not ours are kept with the job, and come back as they were; tasks keep their order and form.
Law 3. A job that is written and read again is the same job.

Protocol: protocol/queue_file.md. The shape is that of the founding SPRINT_QUEUE.json.
"""

from __future__ import annotations

from latchboard.codec import decode_strictly, encode
from latchboard.errors import UsageError
from latchboard.rules import workqueue as queue
from latchboard.rules import workqueue_job as jobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.rules.workqueue import Job, Lease

    Raw = dict[str, Any]  # a task as it stands in the file
    Task = dict[str, Any]  # every field of `FIELDS`, and `extra`: what is not ours

TASKS_COUNT_MAX = 100_000
SAID = ("id", "title", "status", "priority", "role", "agent", "lease", "dependencies")
"""Always written; the founding fields, and the role."""
OURS: dict[str, Any] = {
    "files": [],
    "then": [],
    "parent": None,
    "attempts_max": jobs.ATTEMPTS_MAX_DEFAULT,
    "payload": None,
    "ready_at": None,
    "result": None,
    "reason": None,
}
"""Written where they are not what they are by default."""
FIELDS = (*SAID, *OURS)
LEASE_FIELDS = ("task_id", "role", "owner", "started_at", "ttl_seconds", "heartbeat_at", "token")

_MARK = b"\xef\xbb\xbf"  # of the byte order, which some editors write
WAITING = {work: status for status, work in queue.WORK_STATUS.items()}
"""In which status a job waits that is claimed in this one."""


# -- reading ---------------------------------------------------------------------------------------------------------


def read(data: bytes) -> dict[str, Any]:
    """The document in the bytes of a file: an object with a list of tasks, no two with the same id.

    Raises:
        UsageError: It is none; says where.
    """
    try:
        text = data.removeprefix(_MARK).decode()  # the codec utf-8-sig would have to be loaded, which may fail
    except UnicodeDecodeError as exc:
        raise UsageError(f"it is no UTF-8: {exc.reason} at byte {exc.start}") from exc
    try:
        document = decode_strictly(text)
        encode(document)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"it is no JSON object: {exc}") from exc
    tasks = document.get("tasks")
    if not isinstance(tasks, list):
        raise UsageError("it has no list of tasks" if tasks is None else "its tasks are no list")
    if len(tasks) > TASKS_COUNT_MAX:
        raise UsageError(f"it has {len(tasks):,} tasks; at most {TASKS_COUNT_MAX:,}")
    if wrong := queue.check_limits(limits_of(document)):
        raise UsageError(f"wip_limits: {wrong}", hint=f"a limit is a whole number from 0 to {queue.WIP_LIMIT_MAX}")
    jobs.check_data("rest of the file", rest_of(document))
    return document


def limits_of(document: dict[str, Any]) -> dict[str, Any]:
    """Its limits, as `queue/limits` has them; no roles where it says none."""
    said = document.get("wip_limits")
    if said is None:
        return {"roles": {}, "total": None}
    if not isinstance(said, dict):
        raise UsageError("wip_limits is no map of roles to limits")
    return {"roles": {role: n for role, n in said.items() if role != "total"}, "total": said.get("total")}


def rest_of(document: dict[str, Any]) -> dict[str, Any]:
    """What is beside tasks and limits."""
    return {name: value for name, value in document.items() if name not in ("tasks", "wip_limits")}


def tasks_of(document: dict[str, Any], names: Callable[[list[str]], list[str]]) -> dict[str, Task]:
    """Its tasks by id, in its order.

    Args:
        document: What `read` gave.
        names: The canonical names of files.

    Raises:
        UsageError: One of them can be no job, or has the id of another.
    """
    found: dict[str, Task] = {}
    for at, raw in enumerate(document["tasks"]):
        if not isinstance(raw, dict):
            raise UsageError(f"tasks[{at}] is no object")
        try:
            one = task(raw, names)
        except UsageError as exc:
            raise UsageError(f"tasks[{at}] ({raw.get('id')!r:.80}): {exc.message}", hint=exc.hint) from exc
        if one["id"] in found:
            raise UsageError(f"tasks[{at}] has the id {one['id']} of another one")
        found[one["id"]] = one
    return found


def task(raw: Raw, names: Callable[[list[str]], list[str]]) -> Task:
    """A task of a file with every field, as the queue has them. Raises UsageError: it can be no job."""
    status = _status(raw)
    role = _role(raw, status)
    try:
        queue.check_id(raw.get("id"))
    except UsageError as exc:  # the queue's own hint is to leave it out
        raise UsageError(exc.message, hint="give it an id that no other task has") from exc
    said = {name: raw[name] for name in jobs.FIELDS if raw.get(name) is not None}
    job = jobs.compose({**said, "role": role}, job_id=raw.get("id"), number=0, by="file", at="")  # type: ignore[arg-type]
    lease, reason = raw.get("lease"), raw.get("reason")
    if not isinstance(lease, dict | None) or not isinstance(reason, str | None):
        raise UsageError("its lease is no object, or its reason no text")
    extra = {name: value for name, value in raw.items() if name not in FIELDS}
    jobs.check_data("part that is not known", [extra, raw.get("agent")])
    return {
        **{name: job[name] for name in jobs.FIELDS},  # type: ignore[literal-required]
        "files": names(job["files"]) if job["files"] else [],
        "status": status or queue.ready_status(role),
        "agent": raw.get("agent"),
        "lease": {name: lease[name] for name in LEASE_FIELDS if name in lease} if lease else None,
        "result": jobs.check_data("result", raw.get("result")),
        "reason": reason or None,
        "extra": extra,
    }


def _status(raw: Raw) -> str | None:
    status = raw.get("status")
    if status is not None and (not isinstance(status, str) or status not in queue.NEXT):
        raise UsageError(f"{status!r:.80} is no status", hint=f"known: {', '.join(queue.NEXT)}")
    return status


def _role(raw: Raw, status: str | None) -> str:
    """Whose task it is: of a waiting or an active one, its status says so; else `role`, else `agent` if it is one."""
    role = raw.get("role")
    if role is None and isinstance(raw.get("agent"), str) and raw["agent"] in queue.READY_STATUS:
        role = raw["agent"]
    if role is not None:
        queue.check_role(role)
    waits_as = WAITING.get(status or "", status)
    if waits_as in queue.WORK_STATUS:
        return queue.role_in(waits_as, role or "builder")
    return role or ("planner" if status == "planning_complete" else "builder")


# -- between tasks and jobs ------------------------------------------------------------------------------------------


def task_of(job: Job, lease: Lease | None) -> Task:
    """A job as a task."""
    kept: dict[str, Any] = dict(job.get("extra", {}))
    agent = kept.pop("agent", None)
    held: Any = lease
    return {
        **{name: job.get(name) for name in (*jobs.FIELDS, "status", "result")},
        "reason": job.get("reason") or None,
        "agent": lease["owner"] if lease else agent,
        "lease": {name: held[name] for name in LEASE_FIELDS} if lease else None,
        "extra": kept,
    }


def made(one: Task, *, number: int, by: str, at: str, is_claimed: bool) -> Job:
    """A new job from a task, as if it had become what it is here; who waits for whom is entered by the caller.

    Args:
        one: The task.
        number: Of the job.
        by: Who brings it.
        at: Now.
        is_claimed: Its lease has not run out, and the caller enters the claim. Else a task that was being worked on
            waits to be claimed anew.
    """
    draft = {name: one[name] for name in jobs.FIELDS}
    job = jobs.compose(draft, job_id=one["id"], number=number, by=by, at=at)
    status = str(one["status"] if is_claimed else WAITING.get(one["status"], one["status"]))
    after: Job = {**job, "status": status, "result": one["result"], "attempts_count": int(is_claimed)}
    if status in ("blocked", "cancelled"):
        after = {**after, "reason": one["reason"] or "", "aside_from": queue.ready_status(job["role"])}
    if status not in queue.WORK_STATUS:
        after["ready_at"] = None
    agent = None if is_claimed else one["agent"]
    return with_extra(after, one["extra"] if agent is None else {**one["extra"], "agent": agent})


def settled(one: Task, now: Task | None, *, is_live: bool) -> Task:
    """A task that was never written from here, as its job is or would be: without what does not go with its status.

    Args:
        one: The task.
        now: The job's; None: there is none.
        is_live: Whether its lease has not run out.
    """
    status = one["status"]
    owner = one["lease"]["owner"] if is_live and one["lease"] and status in WAITING else None
    if status in WAITING and owner is None:
        agent = one["agent"] if one["lease"] and one["agent"] != one["lease"].get("owner") else None
        one = {**one, "status": WAITING[status], "agent": agent}
    lease = one["lease"] if owner is not None else None
    if owner is not None:
        one = {**one, "agent": owner}
        if now is not None and now["lease"] is not None and now["lease"]["owner"] == owner:
            lease = now["lease"]  # it was entered before
    ready_at = one["ready_at"] if one["status"] in queue.WORK_STATUS else None
    reason = one["reason"] if one["status"] in ("blocked", "cancelled") else None
    return {**one, "lease": lease, "ready_at": ready_at, "reason": reason}


def with_extra(job: Job, extra: dict[str, Any]) -> Job:
    """The job with these fields of the file; none: without."""
    after: Any = {name: value for name, value in job.items() if name != "extra"}
    if extra:
        after["extra"] = extra
    return after  # type: ignore[no-any-return]


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: what Python alone calls so, `1` and `true`, is not."""
    if one != other:
        return False
    pairs = [(one, other)]  # by a list of its own: what nests deeply is data, too
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict):
            pairs += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list):
            pairs += zip(one, other, strict=True)
        elif isinstance(one, bool) is not isinstance(other, bool):
            return False
    return True


def is_task(one: object) -> bool:
    """Whether it has what every task has that is read or written here: one that was kept may be damaged, or older."""
    return isinstance(one, dict) and isinstance(one.get("extra"), dict) and all(name in one for name in FIELDS)


# -- writing ---------------------------------------------------------------------------------------------------------


def text(document: dict[str, Any]) -> bytes:
    """The bytes of a file: JSON, two blanks for each level, in the order of the document."""
    from json import dumps

    return f"{dumps(document, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()


def limits_said(limits: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Any]:
    """`wip_limits` of a file: the five founding roles, and whatever else the queue or the file has."""
    roles = [*dict.fromkeys([*(before or {}), *queue.WIP_LIMITS, *(limits["roles"] if limits else {})])]
    said: dict[str, Any] = {role: queue.limit(limits, role) for role in roles if role != "total"}
    total = limits.get("total") if limits else None
    return {**said, "total": total} if total is not None or "total" in (before or {}) else said


def written(raw: Raw | None, said: Task | None, now: Task, kept: frozenset[str] = frozenset()) -> Raw:
    """A task as it is to stand in the file.

    Args:
        raw: As it stands there; None: it does not yet.
        said: The same, with every field.
        now: What it is.
        kept: Fields that are to stay as they stand there.
    """
    if raw is None or said is None:
        own = {name: now[name] for name in FIELDS if name in SAID or now[name] != OURS[name]}
        return {**own, **now["extra"]}
    found = dict(raw)
    for name in FIELDS:
        if name not in kept and not is_same(now[name], said[name]):
            found[name] = now[name]
    for name in {**said["extra"], **now["extra"]}:
        if name in kept:
            continue
        if name not in now["extra"]:
            del found[name]
        elif name not in said["extra"] or not is_same(now["extra"][name], said["extra"][name]):
            found[name] = now["extra"][name]
    if "role" not in kept and _role(found, _status(found)) != now["role"]:
        found["role"] = now["role"]  # the status does not say it any more
    return found
