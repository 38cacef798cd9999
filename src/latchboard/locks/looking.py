"""Looking: questions about locks that change nothing."""

from __future__ import annotations

from latchboard.locks.hold import describe
from latchboard.rules import lock as rules
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.locks.service import Locks
    from latchboard.rules.lock import Waiter
    from latchboard.store.port import Snapshot, Store


class Looked:
    """A snapshot that reads what was not asked for when it is needed: the lease of a hold whose own time is up."""

    __slots__ = ("_more", "_snapshot", "_store")

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store = store
        self._snapshot = snapshot
        self._more: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """A record; leases are read one by one."""
        if not key.startswith("leases/"):
            return self._snapshot.get(key)
        if key not in self._more:
            self._more[key] = self._store.read(key).get(key)
        return self._more[key]

    def scan(self, prefix: str) -> Any:
        """A collection that was asked for."""
        return self._snapshot.scan(prefix)


def check(
    locks: Locks, paths: Iterable[str], *, agent: str | None = None, shared: bool = False
) -> list[dict[str, Any]]:
    """Who would be in the way of locking `paths`; empty: free.

    Args:
        locks: The service.
        paths: Files, folders, globs.
        agent: Who asks; its own holds are not in its way.
        shared: Whether a shared hold would be asked for.

    Returns:
        One entry per holder: asked (the name asked for), name (of the hold), agent, mode, bound, token, since,
        remaining_s, reason, pid.
    """
    names = locks.names(paths)
    is_wide = any(pattern.is_wide(name) for name in names)
    keys = ["locks/"] if is_wide else [*[f"locks/{name}" for name in names], "wide"]
    table = locks.look(*keys)
    index = [] if is_wide else sorted(table.wide_names())
    if index:
        table = locks.look(*keys, *[f"locks/{name}" for name in index])
    mode = "shared" if shared else "exclusive"
    me = locks.host.me()
    found = []
    for asked in names:
        for record in table.met_by(asked):
            for held in record["holders"]:
                mine = agent is not None and rules.is_mine(held, agent, "agent", me, table.judge)
                if not mine and rules.conflicts(held["mode"], mode) and not table.why_over(held):
                    found.append({"asked": asked, "name": record["name"], **describe(held, table.remaining_s(held))})
    return found


def waiters(locks: Locks) -> list[Waiter]:
    """Everybody who waits, in order."""
    table = locks.look("waiters/")
    found = [table.waiter(key[len("waiters/") :]) for key, _ in table.view.scan("waiters/")]
    return sorted((w for w in found if w is not None), key=lambda w: w["seq"])
