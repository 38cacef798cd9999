"""Queue files, the service: import and export of the queue in the founding form.

Protocol: protocol/queue_file.md, "Import" and "Export".
"""

from __future__ import annotations

from latchboard.clock import iso
from latchboard.errors import FileConflict, UsageError
from latchboard.queue_file.entering import Entering
from latchboard.queue_file.sides import Ours, Theirs, document, wrong
from latchboard.rules import queue_file as files
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import queue_file_plan as plans
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.locks.service import Locks
    from latchboard.queue_file.entering import Progress
    from latchboard.rules.queue_file import Task
    from latchboard.rules.queue_file_merge import Merged, Preferred
    from latchboard.store.port import Store

    Report = dict[str, Any]

_TOLD_COUNT = 5


class QueueFiles:
    """The queue, in and out of files."""

    def __init__(self, store: Store, clock: Clock, locks: Locks) -> None:
        """Choose nothing, open nothing.

        Args:
            store: Where the queue is.
            clock: For the leases of a file.
            locks: The names of files, and their locks.
        """
        self.store = store
        self.clock = clock
        self.locks = locks

    def bring(
        self, data: bytes, *, path: str, by: str, prefer: Preferred = "", progress: Progress = lambda done, all: None
    ) -> Report:
        """Import: make jobs of the tasks of a file.

        Args:
            data: The bytes of the file.
            path: Its name, for what is told.
            by: The agent that imports.
            prefer: Which side counts where a job says something else than its task: "file", "queue", or neither.
            progress: Told how many tasks of how many are entered.

        Returns:
            `{"imported": [id], "changed": [id], "same_count", "claimed": [id], "limits": {role: limit}}`.

        Raises:
            MalformedRecord: It is no queue file; nothing was changed.
            FileConflict: A job says something else than its task, and neither is preferred; nothing was changed.
        """
        check_agent(by)
        theirs, ours = Theirs(data, path, self.locks), Ours(self.store)
        live = theirs.live(self.clock.now())
        tasks = settled(theirs.tasks, ours.tasks, live)
        result = merging.merged([], tasks, ours.tasks, prefer=prefer, says=(theirs.limits, ours.limits_set()))
        if result.conflicts:
            raise conflicts(path, result)
        if refused := plans.refused(result.new, ours.picture.jobs):
            first, why = next(iter(refused.items()))
            raise wrong(path, f"task {first}: {why}")
        entering = Entering(self.store, self.locks, by, progress)
        self.put(entering, result, ours, live, extra=files.rest_of(theirs.document) or ours.extra, by=by)
        if refused := entering.amend(result.edits, ours.tasks):
            first, why = next(iter(refused.items()))
            raise UsageError(f"{first} was left as it is: {why}", hint="mend the file, and import it again")
        return {
            "imported": [*result.new],
            "changed": [*result.edits],
            "same_count": len(tasks) - len(result.new) - len(result.edits),
            "claimed": [job_id for job_id in result.new if job_id in live],
            "limits": result.limits,
        }

    def put(
        self, entering: Entering, result: Merged, ours: Ours, live: dict[str, Task], *, extra: dict[str, Any], by: str
    ) -> None:
        """Enter limits, what the file says beside, and new jobs, in this order: the limits hold for their claims."""
        if result.limits or not files.is_same(extra, ours.extra):
            entering.put_rest(result.limits, extra)
        at = iso(self.clock.now().wall_s)
        entering.enter(plans.planned(result.new, ours.picture.jobs, claimed=live, by=by, at=at), live)

    def export(self) -> tuple[bytes, int]:
        """The whole queue as the bytes of a file, and how many jobs it has. Raises MalformedRecord."""
        ours = Ours(self.store)
        tasks = [files.written(None, None, one) for one in ours.tasks.values()]
        said = document(Theirs(None, "", self.locks), tasks, ours.limits_said(None), ours.extra)
        return files.text(said), len(tasks)


def settled(theirs: dict[str, Task], ours: dict[str, Task], live: dict[str, Task]) -> dict[str, Task]:
    """Tasks that were never written from here, as their jobs are or would be."""
    return {i: files.settled(one, ours.get(i), is_live=i in live) for i, one in theirs.items()}


def conflicts(path: str, result: Merged) -> FileConflict:
    """The error that tells conflicts by task and field."""
    names = [f"{one['task']}.{one['field']}".rstrip(".") for one in result.conflicts]
    more = f" and {len(names) - _TOLD_COUNT} more" if len(names) > _TOLD_COUNT else ""
    return FileConflict(
        f"{path} and the queue say different things: {', '.join(names[:_TOLD_COUNT])}{more}",
        hint="make them the same, or say which side counts: --prefer file, or --prefer queue",
        conflicts=result.conflicts[:100],
    )
