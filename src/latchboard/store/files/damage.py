"""Damage: what can be wrong with a store, and what a look at it gave.

Protocol: protocol/health.md, "Store".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


COLLECTIONS = (
    "agents",
    "archive",
    "broadcasts",
    "bypasses",
    "calls",
    "conflicts",
    "cursors",
    "images",
    "jobs",
    "leases",
    "messages",
    "waiters",
)
"""Where records lie, besides the locks; those of `queue/` follow from the jobs, and are looked at with them."""
ALONE = ("wide", "newest_broadcast")
"""Records that are in no collection."""
DECIDING = ("locks/", "leases/", "waiters/", "calls/", "images/")
"""Records that decide who may write: one that cannot be read counts as held, and nobody moves it away unasked."""


class Damage:
    """One thing that is not what the protocol says.

    Attributes:
        kind: `format`, `guard`, `journal`, `line` (of the current journal, behind its first), `older-journal`, `torn`,
            `unapplied`, `record` (not what the journal says), `unreadable` (a record that no journal has), `copy`,
            `planted`.
        where: The file, relative to the folder.
        why: A word or a few, never of the file's content.
        key: Of the record.
        pids: Of the processes that have the guard.
        count: How many bytes or commits it is about.
    """

    __slots__ = ("count", "key", "kind", "pids", "where", "why")

    def __init__(
        self, kind: str, where: str, why: str, *, key: str = "", pids: tuple[int, ...] = (), count: int = 0
    ) -> None:
        self.kind = kind
        self.where = where
        self.why = why
        self.key = key
        self.pids = pids
        self.count = count

    def __repr__(self) -> str:
        return f"Damage({self.kind!r}, {self.where!r}, {self.why!r})"


class Health:
    """What was found.

    Attributes:
        is_there: There is a store.
        is_whole_look: Everything was looked at; False: the time was over.
        damage: What is wrong.
        facts: Figures, for people and programs.
        last_commit_s: When the last commit says that it was made, unix seconds; None: it does not say.
    """

    __slots__ = ("damage", "facts", "is_there", "is_whole_look", "last_commit_s")

    def __init__(self) -> None:
        self.is_there = False
        self.is_whole_look = True
        self.damage: list[Damage] = []
        self.facts: dict[str, Any] = {}
        self.last_commit_s: float | None = None


def collection_of(path: str) -> str:
    """What kind of record a file is, as the beginning of a key."""
    return "locks/" if "/" not in path else f"{path.partition('/')[0]}/"
