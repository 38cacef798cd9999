"""Merging a queue file with the queue: what was last written is the base, so that it is known who changed what; pure.

Law 1. What only one side changed, the other one gets.
Law 2. What both changed, and what the queue cannot take over, stays as it is on both sides, and is told by task and
field, until somebody makes them the same or says which side counts.
Law 3. Nothing is guessed of a file that has lost most of its tasks.

Protocol: protocol/queue_file.md, "Merging". diff3: Khanna, Kunal and Pierce 2007.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import workqueue as queue
from latchboard.rules import workqueue_job as jobs
from latchboard.rules.queue_file import FIELDS, WAITING, is_same, with_extra

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    from latchboard.rules.queue_file import Task
    from latchboard.rules.workqueue import Job

    Preferred = Literal["", "file", "queue"]
    Base = dict[str, Any]  # {"tasks": {id: Task or None}, "open": {id: [fields]}, "limits": {role: limit}}

QUEUES_OWN = ("lease", "parent", "result", "reason")
"""What the queue alone says, once a job is there."""
AT_WORK = ("status", "role", "dependencies", "files", "ready_at", "agent")
"""What stays while somebody works on a job."""
LOST_COUNT_MAX = 5
ABSENT = ("absent",)
"""The value of a field that is not there; no JSON is equal to it."""
_UNKNOWN = ("unknown",)


class Merged:
    """What is to be done so that both sides say the same.

    Attributes:
        new: Tasks that the queue is to get, by id.
        edits: What jobs are to become, by id: field to value, `ABSENT` for one that goes.
        gone: Jobs whose tasks were taken out of the file, to be cancelled.
        hidden: Those of them that are over: they are not written any more.
        limits: What limits are to become, by role.
        conflicts: What cannot be merged: `{"task", "field", "why", "file", "queue"}`; no field: the whole task.
    """

    def __init__(self) -> None:
        self.new: dict[str, Task] = {}
        self.edits: dict[str, dict[str, Any]] = {}
        self.gone: list[str] = []
        self.hidden: list[str] = []
        self.limits: dict[str, Any] = {}
        self.conflicts: list[dict[str, Any]] = []
        self._kept: dict[str, set[str]] = {}

    def conflict(self, task: str, field: str, why: str, theirs: Any, ours: Any) -> None:
        """Note one."""
        self.conflicts.append({"task": task, "field": field, "why": why, "file": theirs, "queue": ours})
        self._kept.setdefault(task, set()).add(field)

    def refuse(self, refused: dict[str, str]) -> None:
        """Make conflicts of what the queue has refused: why, by task."""
        for task_id, why in refused.items():
            for name, said in self.edits.pop(task_id, {}).items():
                self.conflict(task_id, name, why, _shown(said), None)
            if self.new.pop(task_id, None) is not None:
                self.conflict(task_id, "", why, None, None)
            if task_id in self.gone:
                self.gone.remove(task_id)
                self.conflict(task_id, "", why, None, None)

    def is_settled(self) -> bool:
        """Whether the queue is to change in nothing."""
        return not (self.new or self.edits or self.gone or self.limits)

    def kept(self, task: str) -> frozenset[str]:
        """The fields of a task that stay as they are."""
        return frozenset(self._kept.get(task, ()))


def merged(
    bases: Sequence[Base],
    theirs: dict[str, Task],
    ours: dict[str, Task],
    *,
    prefer: Preferred = "",
    says: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> Merged:
    """Compare both sides with what was last written.

    Args:
        bases: What was last written; two where it is not known which of them was. None: nothing was.
        theirs: The tasks of the file.
        ours: The jobs of the queue, as tasks.
        prefer: The side that counts where both changed; "": neither.
        says: Limits: of the file, of the queue.

    Raises:
        UsageError: The file has lost most of its tasks.
    """
    found = Merged()
    _refuse_loss(bases, theirs, ours, prefer)
    for task_id, one in theirs.items():
        if task_id in ours:
            _compare(found, bases, one, ours[task_id], prefer)
        else:
            found.new[task_id] = one
    for task_id, one in ours.items():
        if task_id not in theirs:
            _missing(found, bases, one, prefer)
    for role, limit in says[0].items():
        was = [base["limits"].get(role, ABSENT) for base in bases] or [ABSENT]
        edit = _edit(was, limit, says[1].get(role, ABSENT), prefer)
        if edit == "edit":
            found.limits[role] = limit
        elif edit:
            found.conflict("wip_limits", role, edit, limit, says[1].get(role))
    return found


def _refuse_loss(bases: Sequence[Base], theirs: dict[str, Task], ours: dict[str, Task], prefer: Preferred) -> None:
    """A file that was cut off and closed again by a helpful editor must not cancel a sprint."""
    stood = [i for i in ours if all(base["tasks"].get(i) is not None for base in bases)] if bases else []
    lost = [i for i in stood if i not in theirs and ours[i]["status"] not in queue.FINAL]
    if len(lost) > LOST_COUNT_MAX and len(lost) * 2 > len(stood) and not prefer:
        raise UsageError(
            f"it has lost {len(lost)} of {len(stood)} tasks that are not done",
            hint="put them back, or say with --prefer file that they shall be cancelled, or with `queue cancel`",
            lost=sorted(lost)[:100],
        )


def _compare(found: Merged, bases: Sequence[Base], theirs: Task, ours: Task, prefer: Preferred) -> None:
    task_id = ours["id"]
    edits: dict[str, Any] = {}
    for name in (*FIELDS, *{**theirs["extra"], **ours["extra"]}):
        said, is_now = value(theirs, name), value(ours, name)
        edit = _edit([_was(base, task_id, name) for base in bases], said, is_now, prefer)
        why = why_not(ours, name) if edit == "edit" else edit
        if edit == "edit" and not why:
            edits[name] = said
        elif why and prefer != "queue":
            found.conflict(task_id, name, why, _shown(said), _shown(is_now))
    if edits:
        found.edits[task_id] = edits


def _edit(was: list[Any], said: Any, is_now: Any, prefer: Preferred) -> str:
    """What to do about a field: nothing (""), "edit" the queue's, or why neither."""
    if is_same(said, is_now) or any(is_same(said, one) for one in was):
        return ""
    if prefer == "file" or any(is_same(is_now, one) for one in was):
        return "edit"
    return "" if prefer == "queue" else "both sides changed it"


def why_not(ours: Task, name: str) -> str:
    """Why the queue cannot take a field over from the file; "": it can."""
    if name in QUEUES_OWN:
        return "the queue alone says it"
    if name in AT_WORK and ours["lease"] is not None:
        return f"{ours['lease']['owner']} works on it"
    if name == "status" and ours["status"] == "done":
        return "done is the end"
    return ""


def _missing(found: Merged, bases: Sequence[Base], ours: Task, prefer: Preferred) -> None:
    """A job that the file does not have: new, taken out of the file, or hidden."""
    task_id = ours["id"]
    known = [base["tasks"][task_id] for base in bases if task_id in base["tasks"]]
    is_known = bool(bases) and len(known) == len(bases)  # what is in one of two only may never have been written
    stood = [one for one in known if one is not None] if is_known else []
    if is_known and ours["status"] in queue.FINAL:
        found.hidden.append(task_id)
    elif not stood or prefer == "queue":
        return  # it is to be written
    elif ours["lease"] is not None:
        found.conflict(task_id, "", f"it was taken out of the file, and {ours['lease']['owner']} works on it", None, "")
    elif prefer == "file" or any(one["status"] == ours["status"] for one in stood):
        found.gone.append(task_id)
    else:
        found.conflict(task_id, "", "it was taken out of the file, and the queue has changed it", None, "")


def value(task: Task, name: str) -> Any:
    """A field of a task, one of ours or not."""
    return task[name] if name in FIELDS else task["extra"].get(name, ABSENT)


def _was(base: Base, task_id: str, name: str) -> Any:
    one = base["tasks"].get(task_id)
    return _UNKNOWN if one is None or name in base["open"].get(task_id, ()) else value(one, name)


def _shown(one: Any) -> Any:
    return None if one is ABSENT else one


# -- what a job becomes ----------------------------------------------------------------------------------------------


def amended(job: Job, edits: dict[str, Any], *, at: str) -> Job:
    """A job on which nobody works after a person's edits, or one at work after those that it can have.

    What it waits for is entered by the caller.

    Raises:
        UsageError: It cannot become that.
    """
    after: Any = {**job, "changed_at": at}
    for name, said in edits.items():
        if name in jobs.FIELDS or name == "status":
            after[name] = said
    if "status" in edits or "role" in edits:
        after = _moved(job, after, edits)
    if after["status"] not in queue.WORK_STATUS:
        after["ready_at"] = None
    if "ready_at" in edits or after["ready_at"] is None:
        after.pop("is_paused", None)
    return with_extra(after, _extra(job, edits))


def _moved(job: Job, after: Any, edits: dict[str, Any]) -> Any:
    """The job in the status that the file says; a role that changed brings its own."""
    to = edits.get("status") or (
        queue.ready_status(after["role"]) if job["status"] in queue.WORK_STATUS else job["status"]
    )
    if to in WAITING or to == "dead":
        raise UsageError(f"a file cannot make it {to}", hint="`latchboard queue claim` takes a job")
    if to == "done" and job["waits_for"]:
        raise UsageError(f"it waits for {', '.join(job['waits_for'][:5])}")
    after = {**after, "status": to, "attempts_count": 0}
    if to in queue.WORK_STATUS:
        after["role"] = queue.role_in(to, after["role"])
    if to != job["status"]:
        after.pop("reason", None)
        after.pop("aside_from", None)
        if to in ("blocked", "cancelled"):
            after |= {"reason": "the queue file says so", "aside_from": job["status"]}
    return after


def _extra(job: Job, edits: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = dict(job.get("extra", {}))
    for name, said in edits.items():
        if name != "agent" and name in FIELDS:
            continue
        kept.pop(name, None)
        if said is not ABSENT and (name != "agent" or said is not None):
            kept[name] = said
    return kept


# -- what was written ------------------------------------------------------------------------------------------------


def base(result: Merged, bases: Sequence[Base], now: dict[str, Task], limits: dict[str, Any]) -> Base:
    """What the next merge compares with, once the file says what `result` leaves it to say; it is settled.

    A field in conflict keeps its old base, where it is known: so it stays a conflict.
    """
    old = bases[-1] if bases else {"tasks": {}, "open": {}, "limits": {}}
    tasks: dict[str, Task | None] = {}
    opened: dict[str, list[str]] = {}
    for task_id, one in now.items():
        kept = sorted(result.kept(task_id))
        before = old["tasks"].get(task_id)
        if task_id in result.hidden:
            tasks[task_id] = None
        elif kept == [""]:
            tasks[task_id] = before
        else:
            known = [name for name in kept if before is not None and name not in old["open"].get(task_id, ())]
            tasks[task_id] = _with_old(one, before, known) if before is not None else one
            if unknown := [name for name in kept if name not in known]:
                opened[task_id] = unknown
    held = result.kept("wip_limits")
    roles = {role: n for role, n in limits.items() if role not in held}
    roles |= {role: old["limits"][role] for role in held if role in old["limits"]}
    return {"tasks": tasks, "open": opened, "limits": roles}


def _with_old(one: Task, before: Task, names: Iterable[str]) -> Task:
    found = {**one, "extra": dict(one["extra"])}
    for name in names:
        was = value(before, name)
        if name in FIELDS:
            found[name] = was
        elif was is ABSENT:
            found["extra"].pop(name, None)
        else:
            found["extra"][name] = was
    return found
