"""Planning an import: which of a file's new tasks become jobs, and who of them waits for whom; pure.

Protocol: protocol/queue_file.md, "Import".
"""

from __future__ import annotations

from latchboard.rules import queue_file as files
from latchboard.rules import workqueue as queue
from latchboard.rules import workqueue_graph as graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    from latchboard.rules.queue_file import Task
    from latchboard.rules.workqueue import Job


def refused(new: Mapping[str, Task], there: Mapping[str, Job]) -> dict[str, str]:
    """Which new tasks cannot be jobs, and why: what they name is not there, or they would wait in a circle."""
    found: dict[str, str] = {}
    _refuse(found, {i: why for i, one in new.items() if (why := _why_not(one, new, there))}, new)
    left = {task_id: one for task_id, one in new.items() if task_id not in found}
    waits = _waits(left, there)
    if cycle := graph.cycle(left, waits):
        way = " -> ".join(cycle)
        others = dict.fromkeys(graph.endless(left, waits), "it would wait in a circle, or for one")
        named = dict.fromkeys(cycle, f"they would wait for each other for ever: {way}")
        _refuse(found, {i: why for i, why in {**others, **named}.items() if i in left}, new)
    return found


def _refuse(found: dict[str, str], wrong: dict[str, str], new: Mapping[str, Task]) -> None:
    """Refuse tasks, and those that name them."""
    users: dict[str, list[str]] = {}
    for task_id, one in new.items():
        for named in {*one["dependencies"], one["parent"]}:
            users.setdefault(named, []).append(task_id)
    found |= wrong
    follow = [*wrong]
    while follow:
        gone = follow.pop()
        for user in users.get(gone, []):
            if user not in found:
                found[user] = f"it names {gone}, and there is no such task"
                follow.append(user)


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


def _waits(left: Mapping[str, Task], there: Mapping[str, Job]) -> Callable[[str], list[str]]:
    """What a task or a job would wait for: its dependencies, and its parts."""
    parts = _parts(left.values())

    def waits(one: str) -> list[str]:
        own = left[one]["dependencies"] if one in left else there[one]["waits_for"] if one in there else []
        return [*own, *parts.get(one, [])]

    return waits


def _parts(tasks: Iterable[Any]) -> dict[str, list[str]]:
    """The tasks that are parts of others, by those."""
    found: dict[str, list[str]] = {}
    for one in tasks:
        if one["parent"] is not None:
            found.setdefault(one["parent"], []).append(one["id"])
    return found


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
    parts = _parts(found.values())
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
