"""View: the state inside a transaction over etcd, from facts; what they do not say is guessed to be absent.

A guess costs nothing if it is right (most locks are free), and if it is wrong one round trip tells everything that was
asked. The transaction compares all of it.

Protocol: protocol/etcd.md, "Transaction".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.store.checks import check_collection, check_key
from latchboard.store.etcd.facts import ABSENT
from latchboard.store.etcd.layout import value_of
from latchboard.store.etcd.standin import StandIn
from latchboard.store.port import TRACE_PREFIX, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.store.etcd.facts import Asked, Fact, Facts, Known
    from latchboard.store.port import Entries, Value


_GUESSES_FIRST_MAX = 100
_GUESSES_MAX = 32
"""Records that one run may guess: the first run guesses what a whole request names, the others what that led to."""


class Enough(BaseException):
    """A run has guessed so much that it is told first: who looks for somebody in a line guesses that nobody is there.

    No function of a transaction handles it, for it is no Exception.
    """


class EtcdView:
    """One run of a transaction's function.

    Attributes:
        now: The instant of this commit.
        changes: Key to its new value, None for deleted, in the order of the first change.
        has_guessed: Whether it was told something that nobody knows yet.
        stand_in: The commit's revision, if somebody asked for it.
    """

    def __init__(self, facts: Facts, known: Known | None, asked: Asked, now: Now, *, keys_max: int) -> None:
        self._facts = facts
        self._keys_max = keys_max
        self._known = known
        self._asked = asked
        self.now = now
        self.changes: dict[str, dict[str, Any] | None] = {}
        self.has_guessed = False
        self._guesses_left = _GUESSES_FIRST_MAX if facts.at is None else _GUESSES_MAX
        self.stand_in: StandIn | None = None
        self._read: dict[str, Value | None] = {}

    @property
    def revision(self) -> int:
        if self.stand_in is None:
            self.stand_in = StandIn()
        return self.stand_in

    @property
    def room(self) -> int:
        return self._keys_max - len(self.changes)

    def get(self, key: str) -> Value | None:
        if key in self.changes:
            return self.changes[key]
        if key not in self._read:
            check_key(key)
            if key.startswith(TRACE_PREFIX):
                return None
            self._asked.keys[key] = None
            text = self._fact(key)[1]
            self._read[key] = None if text is None else value_of(key, text)
        return self._read[key]

    def _fact(self, key: str) -> Fact:
        fact = self._facts.records.get(key)
        if fact is not None:
            return fact
        if self._facts.at is not None and any(key.startswith(prefix) for prefix in self._facts.scans):
            return ABSENT
        self.has_guessed = True
        self._guesses_left -= 1
        if self._guesses_left < 0:
            raise Enough
        if self._known is not None and (known := self._known.get(key)) is not None:
            self._facts.records[key] = known
            return known
        return ABSENT

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        found: dict[str, Value | None] = {}
        for key in self._keys(prefix):
            if not belongs(key, prefix) or key in self.changes:
                continue
            try:
                found[key] = self.get(key)
            except MalformedRecord as exc:
                if damaged is None:
                    raise
                damaged.append(exc)
        found.update((key, value) for key, value in self.changes.items() if belongs(key, prefix))
        return [(key, value) for key, value in sorted(found.items(), key=_first) if value is not None]

    def _keys(self, prefix: str) -> list[str]:
        if prefix.startswith(TRACE_PREFIX):
            return []
        self._asked.prefixes[prefix] = None
        scans = self._facts.scans
        if prefix in scans:
            return scans[prefix]
        for wider, keys in scans.items():
            if prefix.startswith(wider):
                return [key for key in keys if key.startswith(prefix)]
        self.has_guessed = True
        return []

    def put(self, key: str, value: Value) -> None:
        check_key(key)
        if value is None:
            raise UsageError(f"nothing cannot be put under {key}", hint="delete it", key=key)
        self.changes[key] = value

    def delete(self, key: str) -> None:
        check_key(key)
        self.changes[key] = None


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]
