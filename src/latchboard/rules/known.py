"""Known: the records that whoever reads the stream has seen so far; pure.

Law 1. What cannot be read is damaged, and is remembered as that; it is not missing.
Law 2. What was never seen may be there: who starts in the middle of the stream does not know.

Protocol: protocol/watch.md, "Starting in the middle".
"""

from __future__ import annotations

from latchboard.rules import lease as leases
from latchboard.rules import lock as locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol, TypeVar

    class Change(Protocol):
        """One key's change in one commit, as the store port gives it."""

        revision: int
        at: str
        who: str
        key: str
        value: dict[str, Any] | None

    C = TypeVar("C", bound=Change)


class Known:
    """The records that give a change its meaning: what was there before it.

    Attributes:
        locks, waiters, leases, agents: Records that can be read, by name, request, lease id and agent id.
        damaged: Key to what is wrong with the record.
        seen: Keys that were learned; of all others it is not known whether they are there. None: there are no others.
    """

    __slots__ = ("agents", "damaged", "leases", "locks", "seen", "waiters")

    def __init__(self) -> None:
        self.seen: set[str] | None = set()
        self.locks: dict[str, dict[str, Any]] = {}
        self.waiters: dict[str, dict[str, Any]] = {}
        self.leases: dict[str, dict[str, Any]] = {}
        self.agents: dict[str, dict[str, Any]] = {}
        self.damaged: dict[str, str] = {}

    def learn(self, key: str, value: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Take in one record; None: it was deleted. Returns what was known of it before, and now."""
        collection, _, name = key.partition("/")
        if collection not in _CHECKS:
            return None, None
        kept: dict[str, dict[str, Any]] = getattr(self, collection)
        before = kept.get(name)
        if self.seen is not None:
            self.seen.add(key)
        wrong = "" if value is None else _CHECKS[collection](name, value)
        if wrong:
            self.damaged[key] = wrong
        elif self.damaged:
            self.damaged.pop(key, None)
        if value is None or wrong:
            kept.pop(name, None)
            return before, None
        kept[name] = value
        return before, value

    def is_seen(self, key: str) -> bool:
        """Whether it is known what was there."""
        return (self.seen is None or key in self.seen) and key not in self.damaged


def by_commit(changes: Iterable[C]) -> Iterator[list[C]]:
    """The changes of each commit together; they come in the order of revisions."""
    commit: list[C] = []
    for change in changes:
        if commit and commit[0].revision != change.revision:
            yield commit
            commit = []
        commit.append(change)
    if commit:
        yield commit


def pid_of(process: dict[str, Any]) -> int | None:
    """The process id in an identity; None when it says none."""
    pid = process.get("pid")
    return pid if type(pid) is int else None


def check_status_entry(value: dict[str, Any]) -> str:
    """What is wrong with what an agent said (`agents/<id>`); empty: nothing."""
    if not isinstance(value.get("agent"), str) or not isinstance(value.get("status"), str):
        return "agent or status is no text"
    files = value.get("files")
    if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
        return "files is no list of texts"
    if not leases.check_moment(value.get("heartbeat")) or not leases.check_moment(value.get("started")):
        return "heartbeat or started is no moment"
    return "" if isinstance(value.get("process"), dict) else "process is missing"


def _check_named(check: Callable[[dict[str, Any]], str], field: str) -> Callable[[str, dict[str, Any]], str]:
    def checked(name: str, value: dict[str, Any]) -> str:
        return check(value) or ("" if value[field] == name else "it has another name inside")

    return checked


_CHECKS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "agents": _check_named(check_status_entry, "agent"),
    "leases": lambda _, value: leases.check_lease(value),
    "locks": _check_named(locks.check_record, "name"),
    "waiters": _check_named(locks.check_waiter, "request"),
}
