"""Planning an import: which of a file's new tasks become jobs, and who of them waits for whom; pure.

Protocol: protocol/queue_file.md, "Import".
"""

from __future__ import annotations

from latchboard.rules import queue_file as files
from latchboard.rules import workqueue as queue
from latchboard.rules import workqueue_graph as graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from latchboard.rules.queue_file import Task
    from latchboard.rules.workqueue import Job


def refused(new: Mapping[str, Task], there: Mapping[str, Job]) -> dict[str, str]:
    """Which new tasks cannot be jobs, and why: what they name is not there, or they would wait in a circle."""
    found: dict[str, str] = {}
    while True:
        left = {task_id: one for task_id, one in new.items() if task_id not in found}
        wrong = {task_id: why for task_id, one in left.items() if (why := _why_not(one, left, there))}
        if not wrong and (cycle := graph.cycle(left, lambda one, left=left: _waits(one, left, there))):  # type: ignore[misc]
            way = " -> ".join(cycle)
            wrong = {task_id: f"they would wait for each other for ever: {way}" for task_id in cycle if task_id in left}
        if not wrong:
            return found
        found |= wrong


def _why_not(one: Task, left: Mapping[str, Task], there: Mapping[str, Job]) -> str:
    for needed in one["dependencies"]:
        if needed not in left and needed not in there:
            return f"it depends on {needed}, and there is no such task"
    parent = one["parent"]
    if parent is None or parent in left:
        return ""
    if parent not in there:
        return f"it is a part of {parent}, and there is no such task"
    return f"{parent} is {there[parent]['status']}" if there[parent]["status"] in queue.FINAL else ""


def _waits(task_id: str, left: Mapping[str, Task], there: Mapping[str, Job]) -> list[str]:
    own = left[task_id]["dependencies"] if task_id in left else there[task_id]["waits_for"] if task_id in there else []
    return [*own, *(other["id"] for other in left.values() if other["parent"] == task_id)]


def planned(
    new: Mapping[str, Task], there: Mapping[str, Job], *, claimed: Collection[str], by: str, at: str
) -> list[Job]:
    """The jobs that new tasks become, none of them refused, in their order; numbers are given when they are committed.

    Args:
        new: The tasks.
        there: The jobs that are there.
        claimed: Those of the tasks whose leases have not run out.
        by: Who brings them.
        at: Now.
    """
    found = {i: files.made(one, number=0, by=by, at=at, is_claimed=i in claimed) for i, one in new.items()}
    parts: dict[str, list[str]] = {}
    for job in found.values():
        if job["parent"] is not None:
            parts.setdefault(job["parent"], []).append(job["id"])
    for job in found.values():
        if job["status"] != "done":
            needed = dict.fromkeys([*job["dependencies"], *parts.get(job["id"], [])])
            job["waits_for"] = [one for one in needed if _status(one, found, there) != "done"]
    for waiting in (*found.values(), *there.values()):
        for one in waiting["waits_for"]:
            if one in found:
                found[one]["dependents"].append(waiting["id"])
    for job in found.values():
        if job["parent"] in there and job["status"] != "done" and job["parent"] not in job["dependents"]:
            job["dependents"].append(str(job["parent"]))
    return list(found.values())


def _status(job_id: str, found: Mapping[str, Job], there: Mapping[str, Job]) -> str:
    return found[job_id]["status"] if job_id in found else there[job_id]["status"]
