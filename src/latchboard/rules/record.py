"""Record: what every record of a store must be, whichever engine keeps it; pure.

Law 1. Each record has the shape that its chapter says; what has not counts as held, and nobody gets past it.
Law 2. No token, no place in a line, no message and no cursor is greater than the store's revision: where one is,
       revisions have come back, tokens will be given twice, and messages passed over.
Law 3. What follows from other records (the index of wide names, all of `queue/`) says what they say.

Protocol: protocol/etcd.md, "Looking at a store".
"""

from __future__ import annotations

from latchboard.rules import (
    foreign,
    git,
    image,
    known,
    lock,
    mailbox,
    pattern,
    singleton,
    workqueue_job,
    workqueue_repair,
)
from latchboard.rules import lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

    Records = Mapping[str, dict[str, Any]]

_CHECKS: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    "locks": (lock.check_record, "name"),
    "waiters": (lock.check_waiter, "request"),
    "leases": (leases.check_lease, ""),
    "agents": (known.check_status_entry, "agent"),
    "images": (image.check_record, "name"),
    "calls": (foreign.check_call, "agent"),
    "conflicts": (foreign.check_conflict, "id"),
    "bypasses": (git.check_bypass, "commit"),
}
"""By collection: what is wrong with a record by itself, and which of its fields says the rest of its key."""

_TOKENS = ("token", "first_token", "seq")
_REVISIONS = {
    **dict.fromkeys(("locks", "waiters", "leases", "jobs", "queue", "images", "conflicts", "bypasses"), _TOKENS),
    **dict.fromkeys(("messages", "archive", "broadcasts", mailbox.NEWEST_BROADCAST), ("revision",)),
    "cursors": ("broadcasts",),
}
"""By collection, or key: which fields say a revision. A cursor that is ahead passes over every broadcast to come."""

_OF_OTHERS = ("extra", "body", "payload")
"""Fields of a record in which others write what they like."""
_DEPTH_MAX = 12


def faults(records: Records, revision: int, *, at: str, damaged: Collection[str] = ()) -> dict[str, str]:
    """What is wrong, by key; nothing: every record is what it must be.

    Args:
        records: All that can be read, of one revision.
        revision: That one.
        at: Now, ISO 8601.
        damaged: Keys of those that cannot be read.
    """
    found = {key: why for key, value in records.items() if (why := _shape(key, value))}
    for key, value in records.items():
        number = _greatest(value, _REVISIONS.get(key.partition("/")[0], ()), 0)
        if number > revision:
            found.setdefault(key, f"its number {number} is greater than the store's revision {revision}")
    if "wide" not in damaged and (why := _index([*records, *damaged], records.get("wide", {}))):
        found["wide"] = why
    return {**_queue(records, {*found, *damaged}, at), **found}


def _shape(key: str, value: dict[str, Any]) -> str:
    """What is wrong with one record by itself; "": nothing that its rules know."""
    collection, _, name = key.partition("/")
    if collection in _CHECKS:
        check, field = _CHECKS[collection]
        return check(value) or ("" if not field or value[field] == name else f"it has another {field} inside")
    if collection == "jobs":
        return workqueue_job.check_job(value, name)
    if collection in ("messages", "archive", "broadcasts"):
        return mailbox.read(key, value)[1]
    if collection == "cursors":
        return "" if type(value.get("broadcasts")) is int else "broadcasts is no whole number"
    if key == mailbox.NEWEST_BROADCAST:
        return "" if type(value.get("revision")) is int and type(value.get("id")) is str else "id or revision is wrong"
    if collection == "singletons":
        return singleton.check_everywhere(value, name)
    return ""


def _greatest(value: Any, fields: Collection[str], depth: int) -> int:
    """The greatest revision that these fields of a value say, however deep."""
    if not fields or depth > _DEPTH_MAX or not isinstance(value, dict | list):
        return 0
    inside = value.items() if isinstance(value, dict) else ((None, one) for one in value)
    found = 0
    for name, one in inside:
        if name in fields and type(one) is int:
            found = max(found, one)
        elif name not in _OF_OTHERS:
            found = max(found, _greatest(one, fields, depth + 1))
    return found


def _index(keys: Iterable[str], index: dict[str, Any]) -> str:
    """What is wrong with the index of folders and patterns that have a lock's record."""
    names = [key[len("locks/") :] for key in keys if key.startswith("locks/")]
    wide = {name for name in names if pattern.is_wide(name)}
    told = index.get("names", [])
    if not isinstance(told, list) or set(map(str, told)) != wide:
        return "it does not name the folders and patterns that have a record"
    return ""


def _queue(records: Records, wrong: set[str], at: str) -> dict[str, str]:
    """What the doctor would mend in the queue."""
    jobs: Any = {k[len("jobs/") :]: one for k, one in records.items() if k.startswith("jobs/") and k not in wrong}
    queue: dict[str, Any] = {key: None for key in wrong if key.startswith("queue/")}
    queue |= {key: one for key, one in records.items() if key.startswith("queue/")}
    return dict(workqueue_repair.plan(jobs, queue, at=at).faults)
