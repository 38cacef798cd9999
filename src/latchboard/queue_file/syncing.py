"""Syncing: one file that says what the queue says, whoever of both is changed.

Law 1. A file that cannot be read as a queue file is never written.
Law 2. Between reading the file and replacing it nothing of what others wrote to it is lost: then it is merged again.
Law 3. One process at a time is at it; who comes later finds it done.

Protocol: protocol/queue_file.md, "Live file".
"""

from __future__ import annotations

from latchboard.errors import StoreBusy, UsageError
from latchboard.queue_file.entering import LEFT, Entering
from latchboard.queue_file.service import settled
from latchboard.queue_file.sides import Ours, Theirs, document, wrong
from latchboard.rules import queue_file as files
from latchboard.rules import queue_file_merge as merging
from latchboard.rules import queue_file_plan as plans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.queue_file.entering import Progress
    from latchboard.queue_file.port import File, Shelf
    from latchboard.queue_file.service import QueueFiles
    from latchboard.rules.queue_file import Raw
    from latchboard.rules.queue_file_merge import Base, Merged, Preferred

    Report = dict[str, Any]
    Mark = tuple[int, ...]

BY = "queue-file"
"""Who is said to have done what a person did in the file."""
_ROUNDS_COUNT_MAX = 8
_WAIT_S_MAX = 10.0
_SMALL_BYTES = 256 * 1024
"""Some five hundred tasks: a command that ends is not held up by writing them."""


class LiveFile:
    """One file beside the queue."""

    def __init__(self, queue: QueueFiles, file: File, shelf: Shelf) -> None:
        """Choose nothing, open nothing.

        Args:
            queue: The queue.
            file: The file.
            shelf: Where it is kept what was last written to it.
        """
        self._queue = queue
        self._file = file
        self._shelf = shelf

    def sync(
        self,
        *,
        by: str = BY,
        prefer: Preferred = "",
        wait_s_max: float = _WAIT_S_MAX,
        progress: Progress = lambda done, all: None,
    ) -> Report:
        """Merge the file with the queue, and write it where it says anything else then; made where it is missing.

        Args:
            by: On whose behalf.
            prefer: Which side counts where both changed: "file", "queue", or neither: then it stays as it is.
            wait_s_max: For another process that is at it, seconds.
            progress: Told how many new tasks of how many are entered.

        Returns:
            `{"imported": [id], "changed": [id], "cancelled": [id], "is_written": bool, "conflicts": [{"task", "field",
            "why", "file", "queue"}]}`.

        Raises:
            MalformedRecord: The file is no queue file, or a job cannot be read; nothing was written.
            StoreBusy: Another process was at it all the time, or others kept changing the file. Retryable.
            StoreError, UsageError: The file cannot be read, or not be written.
        """
        report: Report = {"imported": [], "changed": [], "cancelled": [], "is_written": False, "conflicts": []}
        with self._shelf.turn(wait_s_max):
            for _ in range(_ROUNDS_COUNT_MAX):
                mark = self._file.mark()  # before it is read: of what is saved in between it is not the mark
                data = self._file.read()
                theirs = Theirs(data, self._file.path, self._queue.locks)
                bases = [one for one in self._shelf.load(data) if _is_base(one)]
                ours, result = self._enter(theirs, bases, report, by=by, prefer=prefer, progress=progress)
                report["conflicts"] = result.conflicts
                try:
                    report["is_written"] |= self._write(data, mark, theirs, ours, bases, result)
                except StoreBusy:
                    continue  # somebody has just saved it
                return report
        raise StoreBusy(
            f"{self._file.path} is being changed all the time", hint="do it again", waited_s=wait_s_max, pids=[]
        )

    def publish_if_older(self, revision: int, *, wait_s_max: float = 0.0) -> bool:
        """Sync, unless the file shows this revision, and is as it was written. False: another process is at it."""
        mark, shown = self._shelf.seen()
        if revision <= shown and mark == self._file.mark():
            return True
        try:
            self.sync(wait_s_max=wait_s_max)
        except StoreBusy:
            return False
        return True

    def publish_if_due(self, age_s_max: float) -> Report | None:
        """Sync at the end of a command; a large file that is younger than `age_s_max` is left to a later one: None."""
        mark = self._file.mark()
        if mark and mark[2] > _SMALL_BYTES:
            age_s = self._queue.clock.now().wall_s - mark[3] / 1e9
            if 0 <= age_s < age_s_max and mark == self._shelf.seen()[0]:
                return None
        return self.sync()

    def sync_if_edited(self) -> Report | None:
        """Sync, if somebody else than we changed the file since it was last written; else None. Cheap to ask."""
        return None if self._file.mark() == self._shelf.seen()[0] else self.sync()

    @property
    def path(self) -> str:
        """The file, absolute."""
        return self._file.path

    # -- into the queue ----------------------------------------------------------------------------------------------

    def _enter(
        self,
        theirs: Theirs,
        bases: list[Base],
        report: Report,
        *,
        by: str,
        prefer: Preferred,
        progress: Progress,
    ) -> tuple[Ours, Merged]:
        """Bring into the queue what was changed in the file alone, until there is nothing of that left."""
        queue = self._queue
        entering = Entering(queue.store, queue.locks, by, progress)
        refused: dict[str, str] = {}
        tried: dict[str, Any] = {}
        for _ in range(_ROUNDS_COUNT_MAX):
            ours = Ours(queue.store)
            result = self._merged(theirs, ours, bases, prefer)
            refused |= plans.refused({i: one for i, one in result.new.items() if i not in refused}, ours.picture.jobs)
            again = [i for i, one in result.edits.items() if tried.get(i) == one]
            refused = {**dict.fromkeys(again, "the queue cannot take it over"), **refused}
            result.refuse(refused)
            rest = files.rest_of(theirs.document)
            extra = rest if bases else rest or ours.extra  # what was written, and is there no more, was taken out
            if result.is_settled() and files.is_same(extra, ours.extra):
                return ours, result
            live = {i: one for i, one in theirs.live(queue.clock.now()).items() if i in result.new}
            queue.put(entering, result, ours, live, extra=extra, by=by)
            not_done = {**entering.amend(result.edits, ours.tasks), **entering.cancel(result.gone, ours.tasks)}
            refused |= {i: why for i, why in not_done.items() if why != LEFT}
            tried |= {i: one for i, one in result.edits.items() if i not in not_done}
            _note(report, result, not_done)
        raise StoreBusy("the queue is being changed all the time", hint="do it again", waited_s=0.0, pids=[])

    def _merged(self, theirs: Theirs, ours: Ours, bases: list[Base], prefer: Preferred) -> Merged:
        known = {task_id for base in bases for task_id, one in base["tasks"].items() if one is not None}
        live = theirs.live(self._queue.clock.now())
        fresh = {task_id: one for task_id, one in theirs.tasks.items() if task_id not in known}
        tasks = {**theirs.tasks, **settled(fresh, ours.tasks, live)}
        limits = ours.limits_said(theirs.limits_raw) if bases else ours.limits_set()
        try:
            return merging.merged(bases, tasks, ours.tasks, prefer=prefer, says=(theirs.limits, limits))
        except UsageError as exc:
            raise wrong(self._file.path, exc.message, exc.hint) from exc

    # -- into the file -----------------------------------------------------------------------------------------------

    def _write(
        self, data: bytes | None, mark: Mark, theirs: Theirs, ours: Ours, bases: list[Base], result: Merged
    ) -> bool:
        """Write the file, and keep what was written."""
        limits = ours.limits_said(theirs.limits_raw)
        held = result.kept("wip_limits")
        said = {**limits, **{role: n for role, n in theirs.limits.items() if role in held}}
        after = document(theirs, _tasks(theirs, ours, result), said, ours.extra)
        is_same = data is not None and files.is_same(after, theirs.document)
        text = data if is_same and data is not None else files.text(after)
        base = {**merging.base(result, bases, ours.tasks, limits), "format": 1}
        if not is_same or not files.is_same(bases, [base]):
            known = {one["task"] for one in result.conflicts if not one["field"]}.union(result.hidden)
            read = {i: theirs.tasks.get(i, one) for i, one in ours.tasks.items() if i in theirs.tasks or i in known}
            unwritten = {**merging.base(result, bases, read, theirs.limits), "format": 1}
            self._shelf.note(base, text, unwritten=None if files.is_same(bases, [unwritten]) else unwritten)
            if not is_same:
                self._file.write(text, instead_of=data)
            self._shelf.settle()
        if not is_same:
            mark = self._file.mark()
            if self._file.read() != text:
                mark = ()  # saved by somebody at once: it is still to be read
        self._shelf.see(mark, ours.picture.revision)
        return not is_same


def _is_base(base: Base) -> bool:
    """Whether every task that is kept is one: else nothing is known, and whatever differs is a conflict."""
    return all(one is None or files.is_task(one) for one in base["tasks"].values())


def _tasks(theirs: Theirs, ours: Ours, result: Merged) -> list[Raw]:
    """The tasks as they are to stand in the file: in its order, and what is new behind."""
    found: list[Raw] = []
    for raw in theirs.document["tasks"]:
        now = ours.tasks.get(raw["id"])
        found.append(raw if now is None else files.written(raw, theirs.tasks[raw["id"]], now, result.kept(raw["id"])))
    left_out = {*result.hidden, *(one["task"] for one in result.conflicts if not one["field"])}
    for task_id, now in ours.tasks.items():
        if task_id not in theirs.tasks and task_id not in left_out:
            found.append(files.written(None, None, now))
    return found


def _note(report: Report, result: Merged, not_done: dict[str, str]) -> None:
    report["imported"] += result.new
    report["changed"] += [job_id for job_id in result.edits if job_id not in not_done]
    report["cancelled"] += [job_id for job_id in result.gone if job_id not in not_done]
