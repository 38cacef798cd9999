"""Sides: the queue as a file would say it, and a file as the queue reads it."""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.queue_file.entering import EXTRA
from latchboard.rules import queue_file as files
from latchboard.rules import workqueue_lease as leases
from latchboard.workqueue.lines import malformed
from latchboard.workqueue.looking import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.locks.service import Locks
    from latchboard.rules.queue_file import Raw, Task
    from latchboard.store.port import Store


class Ours:
    """The queue at one revision.

    Attributes:
        picture: All of it.
        tasks: Its jobs as tasks, in the order in which they were submitted.
        extra: What a file said beside.
    """

    def __init__(self, store: Store) -> None:
        """Read it. Raises MalformedRecord, also of one job: a file would say that it was taken out."""
        self.picture = Picture(store)
        if self.picture.damaged:
            raise self.picture.damaged[0]
        active = self.picture.active
        self.tasks = {job_id: files.task_of(job, active.get(job_id)) for job_id, job in self.picture.jobs.items()}
        self.extra: dict[str, Any] = (store.read(EXTRA).get(EXTRA) or {}).get("extra", {})
        if not isinstance(self.extra, dict):
            raise malformed(EXTRA, "extra is no object")

    def limits_set(self) -> dict[str, Any]:
        """The limits that somebody has set, by role and `total`."""
        return _limits(self.picture.limits or {"roles": {}, "total": None})

    def limits_said(self, before: dict[str, Any] | None) -> dict[str, Any]:
        """The limits as the file says them that said `before`."""
        return files.limits_said(self.picture.limits, before)


class Theirs:
    """A file as it was read.

    Attributes:
        is_there: Whether there is one.
        document: As it stands there.
        tasks: Its tasks by id, with every field.
        limits: Those that it says, by role and `total`.
    """

    def __init__(self, data: bytes | None, path: str, locks: Locks) -> None:
        """Read the bytes; None: there is no file. Raises MalformedRecord: it is no queue file."""
        self.is_there = data is not None
        self.document: dict[str, Any] = {"tasks": []}
        self.tasks: dict[str, Task] = {}
        self.limits: dict[str, Any] = {}
        if data is None:
            return
        try:
            self.document = files.read(data)
            self.tasks = files.tasks_of(self.document, locks.names)
            self.limits = _limits(files.limits_of(self.document))
        except UsageError as exc:
            raise wrong(path, exc.message, exc.hint) from exc

    @property
    def limits_raw(self) -> dict[str, Any] | None:
        """Its `wip_limits` as they stand there."""
        return self.document.get("wip_limits")

    def live(self, now: Now) -> dict[str, Task]:
        """The tasks with a lease that has not run out."""
        return {task_id: one for task_id, one in self.tasks.items() if _is_live(one, now)}


def document(theirs: Theirs, tasks: list[Raw], limits: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """What the file is to say, in its order."""
    said = {"wip_limits": limits, **extra, "tasks": tasks}
    before = {name: said[name] for name in theirs.document if name in said} if theirs.is_there else {}
    return {**before, **said}


def wrong(path: str, reason: str, hint: str = "") -> MalformedRecord:
    """The error for a file that cannot be read as one."""
    hint = hint or "mend the file; nothing was changed, neither in it nor in the queue"
    return MalformedRecord(f"{path} is no queue file: {reason}", hint=hint, key=path, reason=reason)


def _limits(limits: dict[str, Any]) -> dict[str, Any]:
    total = limits.get("total")  # another writer's record may not say it
    return {**limits["roles"], **({} if total is None else {"total": total})}


def _is_live(one: Task, now: Now) -> bool:
    """Whether somebody works on it, as far as its lease says; one that cannot be read as a lease is none."""
    if one["lease"] is None or one["status"] not in files.WAITING:
        return False
    lease: Any = {**one["lease"], "task_id": one["id"], "role": one["role"], "token": 0}
    if leases.check_active({"claims": {one["id"]: lease}}):
        return False
    return leases.remaining_s(lease, now) > 0
