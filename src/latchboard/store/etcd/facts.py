"""Facts: what is known of a store's records, and the compares that hold a transaction to it.

Facts are of one revision (`at`), because one txn read them; or they are remembered from several, and then each is to be
compared before anything that was made of them counts.

Law 1. What is compared is all that was read: if every compare holds, the function saw the state as it is.
Law 2. A scan that is guessed to be empty says so of every record in it: one that is remembered there contradicts it,
       and both are compared, so that such a run never counts. (Without the record's own compare, one that was deleted
       meanwhile was taken for held, and written back, where nothing else was left in its collection.)
Law 3. A range compare sees what was put, never what was deleted: hence the mark of each collection, and, where they are
       few, a compare of each record that was found.

Protocol: protocol/etcd.md, "Transaction".
"""

from __future__ import annotations

from _thread import RLock
from itertools import islice

from latchboard.errors import UsageError
from latchboard.store.etcd.gateway import packed, unpacked
from latchboard.store.etcd.layout import collection_of, end_of, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from latchboard.store.etcd.layout import Layout

COMPARES_MAX = 110
"""etcd takes 128 operations of each kind in a txn; the rest is for the gate, the fence, the commit and the marks."""

Fact = tuple[int, str | None]
"""mod_revision (0: absent) and the JSON; None: absent."""

ABSENT: Fact = (0, None)


class Facts:
    """Records as they were.

    Attributes:
        at: The revision all of it is of; None: of several.
        last: Revision of the store's last commit then.
        records: By key.
        scans: By prefix: the keys that were there.
    """

    __slots__ = ("at", "last", "records", "scans")

    def __init__(self, at: int | None = None, last: int = 0) -> None:
        self.at = at
        self.last = last
        self.records: dict[str, Fact] = {}
        self.scans: dict[str, list[str]] = {}


class Asked:
    """What a transaction has read so far, over all runs of its function.

    Attributes:
        keys: Records.
        prefixes: Scans.
    """

    __slots__ = ("keys", "prefixes")

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.prefixes: dict[str, None] = {}

    def spread(self) -> tuple[list[str], list[str]]:
        """Keys and prefixes to be ranged, few enough for one txn: of many keys, whole collections.

        Raises:
            UsageError: They cannot be so few.
        """
        prefixes = list(self.prefixes)
        keys = [key for key in self.keys if not key.startswith(tuple(prefixes))] if prefixes else list(self.keys)
        while len(keys) + len(prefixes) > COMPARES_MAX:
            counts: dict[str, int] = {}
            for key in keys:
                counts[collection_of(key)] = counts.get(collection_of(key), 0) + 1
            largest = max(counts, key=lambda name: (name != "", counts[name]), default="")
            if not largest:
                raise UsageError(
                    f"one transaction reads {len(keys)} records outside of collections, {len(prefixes)} collections",
                    hint="lock the folder instead of its files",
                )
            prefixes = [*[prefix for prefix in prefixes if not prefix.startswith(largest)], largest]
            keys = [key for key in keys if not key.startswith(largest)]
        return keys, prefixes


class Reader:
    """Ranges, and facts from their answers."""

    def __init__(self, layout: Layout, told: Callable[[int], int]) -> None:
        """`told`: a revision of etcd as the store tells it."""
        self._layout = layout
        self._told = told

    def ranges(self, keys: Iterable[str], prefixes: Iterable[str], *, at: int = 0) -> list[dict[str, Any]]:
        """Operations of a txn that read them."""
        fields: dict[str, Any] = {"revision": str(at)} if at else {}
        record = self._layout.record
        found = [{"request_range": {"key": packed(record(key)), **fields}} for key in keys]
        for prefix in prefixes:
            begin = record(prefix)
            span = {"key": packed(begin), "range_end": packed(end_of(begin)), **fields}
            found.append({"request_range": span})
        return found

    def facts(self, answers: list[dict[str, Any]], keys: list[str], prefixes: list[str], into: Facts) -> Facts:
        """What those operations were answered."""
        for key, answer in zip(keys, answers, strict=False):
            kvs = answer["response_range"].get("kvs") or ()
            into.records[key] = self.fact(key, kvs[0]) if kvs else ABSENT
        for prefix, answer in zip(prefixes, answers[len(keys) :], strict=False):
            found: list[str] = []
            for kv in answer["response_range"].get("kvs") or ():
                key = self._layout.key(unpacked(kv["key"]))
                found.append(key)
                into.records[key] = self.fact(key, kv)
            into.scans[prefix] = found
        return into

    def fact(self, key: str, kv: dict[str, Any]) -> Fact:
        """One record as it is; what is no text stays as bytes that no JSON begins with, and is malformed when read."""
        revision = int(kv["mod_revision"])
        return revision, text_of(kv, revision, self._told)

    def compares(self, asked: tuple[list[str], list[str]], facts: Facts) -> list[dict[str, Any]]:
        """Compares that hold if and only if everything that was asked is as these facts say; guesses say absent."""
        keys, prefixes = asked
        layout = self._layout
        found: dict[str, int] = {key: facts.records.get(key, ABSENT)[0] for key in keys}
        spans = []
        for prefix in prefixes:
            begin = layout.record(prefix)
            span = {"key": packed(begin), "range_end": packed(end_of(begin))}
            if prefix not in facts.scans:
                spans.append({**span, "target": "CREATE", "result": "EQUAL", "create_revision": "0"})
                continue
            assert facts.at is not None
            spans.append({**span, **_before(facts.at)})
        if guessed := tuple(prefix for prefix in prefixes if prefix not in facts.scans):
            remembered = ((key, one[0]) for key, one in facts.records.items() if one[0] and key.startswith(guessed))
            found.update(islice(remembered, 1))  # one is enough: it cannot be there, and the collection be empty
        scanned = {key: facts.records[key][0] for prefix in prefixes for key in facts.scans.get(prefix, ())}
        if len(found) + len(spans) + len(scanned) <= COMPARES_MAX:
            found.update(scanned)
        elif facts.at is not None:
            for collection in {collection_of(prefix) for prefix in prefixes if facts.scans.get(prefix)}:
                spans.append({"key": packed(layout.deleted(collection)), **_before(facts.at)})
        return [compare(layout.record(key), revision) for key, revision in found.items()] + spans


def compare(key: bytes, revision: int) -> dict[str, Any]:
    """The key is as it was at its mod_revision; 0: it is not there."""
    return {"key": packed(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def _before(at: int) -> dict[str, Any]:
    return {"target": "MOD", "result": "LESS", "mod_revision": str(at + 1)}


def text_of(kv: dict[str, Any], revision: int, told: Callable[[int], int]) -> str:
    """The JSON of a value as etcd gives it."""
    data = unpacked(kv.get("value", ""))
    try:
        return opened(data.decode(), revision, told)
    except UnicodeDecodeError:
        return "no UTF-8"  # and no JSON: malformed wherever it is read


class Known:
    """What this process remembers of records: its own commits' and what failed ones were told. Threads may share it.

    It may be old: whoever uses it compares.
    """

    def __init__(self, count_max: int = 256, bytes_max: int = 16384) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._lock = RLock()
        self._records: dict[str, Fact] = {}  # what was told last stands last

    def get(self, key: str) -> Fact | None:
        """What is remembered."""
        return self._records.get(key)

    def note(self, records: Iterable[tuple[str, Fact]]) -> None:
        """Remember what was told last of each record; it may be older than what was told before."""
        with self._lock:
            for key, fact in records:
                self._records.pop(key, None)
                if fact[1] is None or len(fact[1]) <= self._bytes_max:
                    self._records[key] = fact
            while len(self._records) > self._count_max:
                del self._records[next(iter(self._records))]

    def after_fork(self) -> None:
        """In a forked child: a thread that is not here may hold the lock."""
        self._lock = RLock()
