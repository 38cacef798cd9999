"""Looking: questions about locks that change nothing."""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.locks.hold import describe
from latchboard.rules import lock as rules
from latchboard.rules import pattern
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.locks.table import Table
    from latchboard.rules.lock import Mode, Waiter, Want
    from latchboard.store.port import Snapshot, Store


class Looked:
    """A snapshot that reads what was not asked for when it is needed.

    The lease of a hold whose own time is up, and the presence of its process.
    """

    __slots__ = ("_more", "_snapshot", "_store")

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._more: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """A record; leases and presences are read one by one."""
        if not key.startswith(("leases/", PRESENCES)):
            return self._snapshot.get(key)
        if key not in self._more:
            self._more[key] = self._store.read(key).get(key)
        return self._more[key]

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Any:
        """A collection that was asked for, or a part of it."""
        collection = prefix[: prefix.find("/") + 1]
        found = self._snapshot.scan(collection, damaged=damaged)
        return found if prefix == collection else [(key, value) for key, value in found if key.startswith(prefix)]


def check(
    locks: Locks, paths: Iterable[str], *, agent: str | None = None, shared: bool = False, token: int | None = None
) -> list[dict[str, Any]]:
    """Who would be in the way of locking `paths`; empty: free.

    Args:
        locks: The service.
        paths: Files, folders, globs.
        agent: Who asks; its own holds are not in its way.
        shared: Whether a shared hold would be asked for.
        token: Shown by the agent: what the hold with it covers is the agent's, in whichever process that is.

    Returns:
        One entry per holder: asked (the name asked for), name (of the hold), agent, mode, bound, token, since,
        remaining_s, reason, pid.
    """
    names = locks.names(paths)
    table = _look(locks, names)
    mode: Mode = "shared" if shared else "exclusive"
    me = locks.host.me()
    found = []
    for asked in names:
        want: Want = {"name": asked, "mode": mode}
        for record in table.met_by(asked):
            for held in record["holders"]:
                mine = agent is not None and rules.is_mine(held, agent, "agent", me, table.judge)
                mine = mine or rules.is_shown(record["name"], held, want, agent, token)
                if not mine and rules.conflicts(held["mode"], mode) and not table.why_over(held):
                    found.append({"asked": asked, "name": record["name"], **describe(held, table.remaining_s(held))})
    return found


def shown(
    locks: Locks, paths: Iterable[str], *, agent: str, token: int, shared: bool = False
) -> dict[str, tuple[str, int]]:
    """What the hold with this token covers of `paths`: the name asked for, to the name held and its token."""
    names = locks.names(paths)
    table = _look(locks, names)
    found = {}
    for asked in names:
        want: Want = {"name": asked, "mode": "shared" if shared else "exclusive"}
        for record in table.met_by(asked):
            for held in record["holders"]:
                if rules.is_shown(record["name"], held, want, agent, token) and not table.why_over(held):
                    found[asked] = (record["name"], held["token"])
    return found


def _look(locks: Locks, names: list[str]) -> Table:
    """What can be in the way of `names`, all of one revision."""
    if any(pattern.is_wide(name) for name in names):
        return locks.look("locks/", "wide")
    keys, index = [*[f"locks/{name}" for name in names], "wide"], set[str]()
    while True:
        table = locks.look(*keys, *sorted(f"locks/{name}" for name in index))
        if table.wide_names() <= index:
            return table
        index |= table.wide_names()  # which may have grown between two looks


def waiters(locks: Locks) -> list[Waiter]:
    """Everybody who waits, in order; a record that cannot be read is passed over: cleanup and the board report it."""
    return waiters_of(locks.look("waiters/"))


def waiters_of(table: Table) -> list[Waiter]:
    """The same, as a table has them."""
    found = []
    for key, _ in table.view.scan("waiters/", damaged=[]):
        try:
            waiter = table.waiter(key[len("waiters/") :])
        except MalformedRecord:
            continue
        if waiter is not None:
            found.append(waiter)
    return sorted(found, key=lambda w: w["seq"])
