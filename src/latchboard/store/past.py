"""Past: what stores that can be read at an earlier revision have in common.

Protocol: protocol/store.md, "Reading the past".
"""

from __future__ import annotations

from latchboard.errors import Compacted, UsageError
from latchboard.store.checks import check_collection
from latchboard.store.port import REPLAYED, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.errors import MalformedRecord
    from latchboard.store.port import Entries, Value


class PastSnapshot:
    """What there was at one revision.

    Attributes:
        revision: Of the last commit in it.
    """

    __slots__ = ("_damaged", "_found", "_path_of", "_wanted", "revision")

    def __init__(
        self,
        revision: int,
        found: dict[str, Value],
        wanted: tuple[str, ...],
        damaged: dict[str, list[MalformedRecord]] | None = None,
        path_of: Callable[[str], str] = str,
    ) -> None:
        """`damaged`: by collection; `path_of`: in which file a key's record is, as their `path` says."""
        self.revision = revision
        self._found = found
        self._wanted = wanted
        self._damaged = damaged or {}
        self._path_of = path_of

    def get(self, key: str) -> Value | None:
        if key not in self._wanted and not any(n.endswith("/") and belongs(key, n) for n in self._wanted):
            raise UsageError(f"{key} was not read", hint="name it in the call of read")
        for damaged in self._damaged.get(_collection(key), ()):
            if damaged.fields["path"] == self._path_of(key):
                raise damaged
        return self._found.get(key)

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        if prefix not in self._wanted:
            raise UsageError(f"{prefix} was not read", hint="name it in the call of read")
        unreadable = self._damaged.get(_collection(prefix), [])
        if unreadable and damaged is None:
            raise unreadable[0]
        if damaged is not None:
            damaged += unreadable
        return sorted((key, value) for key, value in self._found.items() if belongs(key, prefix))


def _collection(key: str) -> str:
    return key.partition("/")[0] + "/"


def check_past(wanted: tuple[str, ...], at: Any) -> None:
    """Refuse what cannot be read at an earlier revision, and what is no revision. Raises UsageError."""
    if type(at) is not int or at < 0:
        raise UsageError(f"a revision is a whole number from 0, not {at!r:.80}")
    for name in wanted:
        if not name.startswith(REPLAYED):
            raise UsageError(f"{name} is not kept as it was at earlier revisions; {', '.join(REPLAYED)} are", key=name)


def too_late(at: int, newest: int) -> UsageError:
    """The error for a revision that is not there yet."""
    return UsageError(f"there is no revision {at} yet; the newest is {newest}", at=at, newest=newest)


def compacted(at: int, oldest: int, why: str) -> Compacted:
    """The error for a revision that nobody can tell about any more."""
    return Compacted(
        f"what was at revision {at} is not known: {why}; from revision {oldest} on it is",
        hint=f"ask for revision {oldest} or a later one",
        after=at,
        oldest=oldest,
    )


def spread(of: int, count: int) -> list[int]:
    """At most `count` numbers below `of`, evenly spread; the last one always, and the first one if there are two."""
    if of <= count:
        return list(range(of))
    return [of - 1] if count == 1 else [(of - 1) * n // (count - 1) for n in range(count)]
