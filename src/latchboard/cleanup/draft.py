"""Draft: what a cleanup looks at first, and what a dry run does its work on.

Protocol: protocol/lock.md, "Cleanup".
"""

from __future__ import annotations

from latchboard.codec import decode, encode
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.errors import MalformedRecord
    from latchboard.store.port import Entries, Store

COLLECTIONS = ("agents/", "leases/", "locks/", "waiters/")


class Records:
    """What there is, whose records may be changed by whoever gets them: each gets one of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshot = snapshot = store.read(*COLLECTIONS, "wide")
        self._damaged: dict[str, list[MalformedRecord]] = {collection: [] for collection in COLLECTIONS}
        self._found = {name: dict(snapshot.scan(name, damaged=self._damaged[name])) for name in COLLECTIONS}

    def get(self, key: str) -> dict[str, Any] | None:
        """One record; a copy of its own for whoever asks."""
        collection = key[: key.find("/") + 1]
        if collection == PRESENCES:
            return self._store.read(key).get(key)
        if collection not in self._found or self._damaged[collection]:
            return self._snapshot.get(key)
        value = self._found[collection].get(key)
        return None if value is None else decode(encode(value))

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        """One of the four collections, or a part of it."""
        collection = prefix[: prefix.find("/") + 1]
        found = self._damaged[collection]
        if found and damaged is None:
            raise found[0]
        if damaged is not None:
            damaged += found
        beneath = self._found[collection].items()
        return [(key, decode(encode(value))) for key, value in beneath if key.startswith(prefix)]


class Draft:
    """A view on records, or on another draft, that is never committed."""

    def __init__(self, below: Any, now: Now) -> None:
        self._below = below
        self.now = now
        self.revision = 0
        self.room = 1_000_000  # nothing of it is committed
        self.changes: dict[str, dict[str, Any] | None] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        """One record."""
        if key in self.changes:
            return self.changes[key]
        value: dict[str, Any] | None = self._below.get(key)
        return value

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        """One collection."""
        found: dict[str, Any] = dict(self._below.scan(prefix, damaged=damaged))
        found.update({key: value for key, value in self.changes.items() if key.startswith(prefix)})
        return [(key, value) for key, value in sorted(found.items()) if value is not None]

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Write it into the draft."""
        self.changes[key] = value

    def delete(self, key: str) -> None:
        """Take it out of the draft."""
        self.changes[key] = None
