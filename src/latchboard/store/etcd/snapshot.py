"""Snapshot: records of one revision, now or earlier.

Protocol: protocol/etcd.md, "Reading the past".
"""

from __future__ import annotations

from time import monotonic, sleep

from latchboard.errors import MalformedRecord, StoreUnavailable, UsageError
from latchboard.store.checks import check_collection, check_key
from latchboard.store.etcd import trouble
from latchboard.store.etcd.facts import ABSENT, Facts
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.layout import value_of
from latchboard.store.etcd.trouble import Answer, Silent
from latchboard.store.past import PastSnapshot, check_past, compacted, too_late
from latchboard.store.port import TRACE_PREFIX, belongs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster
    from latchboard.store.port import Entries, Value

_PART_COUNT = 100
_PAUSE_S = 0.02


class EtcdSnapshot:
    """What was read, all of one revision."""

    def __init__(self, facts: Facts, wanted: tuple[str, ...], revision: int) -> None:
        self.revision = revision
        self._records = facts.records
        self._wanted = wanted

    def get(self, key: str) -> Value | None:
        if key not in self._wanted and not any(n.endswith("/") and belongs(key, n) for n in self._wanted):
            raise UsageError(f"{key} was not read", hint="name it in the call of read")
        text = self._records.get(key, ABSENT)[1]
        return None if text is None else value_of(key, text)

    def scan(self, prefix: str, *, damaged: list[MalformedRecord] | None = None) -> Entries:
        check_collection(prefix)
        if prefix not in self._wanted:
            raise UsageError(f"{prefix} was not read", hint="name it in the call of read")
        found: Entries = []
        for key, (_, text) in sorted(self._records.items()):
            if text is None or not belongs(key, prefix):
                continue
            try:
                found.append((key, value_of(key, text)))
            except MalformedRecord as exc:
                if damaged is None:
                    raise
                damaged.append(exc)
        return found


def read(cluster: Cluster, wanted: tuple[str, ...]) -> EtcdSnapshot:
    """What there is now."""
    for name in wanted:
        check_key(name)
    deadline = cluster.deadline()
    cluster.open(deadline)
    while True:
        try:
            facts = _facts(cluster, wanted, 0, deadline)
            return EtcdSnapshot(facts, wanted, cluster.told(facts.last))
        except Answer as said:
            if not said.is_compacted:
                raise
            # many keys are read in parts, at the revision of the first: it was compacted in between


def read_past(cluster: Cluster, wanted: tuple[str, ...], at: int) -> PastSnapshot:
    """What there was when `at` was the newest revision."""
    check_past(wanted, at)
    deadline = cluster.deadline()
    cluster.open(deadline)
    newest = cluster.told(last_commit(cluster, 0, deadline))
    if at > newest:
        raise too_late(at, newest)
    begun = cluster.begun_at
    place = cluster.place(at) if at else 0
    why = "it was before the copy" if cluster.is_copied and place < begun else "etcd has compacted it"
    try:
        facts = _facts(cluster, wanted, max(place, begun, 1), deadline, is_past=True)
    except Answer as said:
        if not said.is_compacted:
            raise
        facts = _facts(cluster, wanted, oldest_kept(cluster, deadline), deadline, is_past=True)
    if 0 < at < cluster.told(facts.last):
        raise compacted(at, cluster.told(facts.last), why)
    return _past(facts, wanted, cluster.told(facts.last))


def _past(facts: Facts, wanted: tuple[str, ...], revision: int) -> PastSnapshot:
    found: dict[str, Value] = {}
    damaged: dict[str, list[MalformedRecord]] = {}
    for key, (_, text) in facts.records.items():
        try:
            if text is not None:
                found[key] = value_of(key, text)
        except MalformedRecord as exc:
            damaged.setdefault(f"{key.partition('/')[0]}/", []).append(exc)
    return PastSnapshot(revision, found, wanted, damaged)


def _facts(cluster: Cluster, wanted: tuple[str, ...], at: int, deadline: float, *, is_past: bool = False) -> Facts:
    """Records and collections at a revision; 0: now. Of the past every name may be a part of a collection, too.

    Raises:
        Answer: It is compacted.
    """
    names = [name for name in wanted if not name.startswith(TRACE_PREFIX)]
    asked = [(name, False) for name in names] + [(name, True) for name in names if is_past or name.endswith("/")]
    facts = Facts(at or None)
    commit = {"key": packed(cluster.layout.commit), "keys_only": True}
    for begin in range(0, max(1, len(asked)), _PART_COUNT):
        part = asked[begin : begin + _PART_COUNT]
        keys = [name for name, is_prefix in part if not is_prefix]
        prefixes = [name for name, is_prefix in part if is_prefix]
        first = {"request_range": {**commit, **({"revision": str(at)} if at else {})}}
        body = {"success": [first, *cluster.reader.ranges(keys, prefixes, at=at)]}
        told = cluster.gateway.call("/v3/kv/txn", body, deadline)
        last, *rest = told["responses"]
        cluster.reader.facts(rest, keys, prefixes, into=facts)
        facts.last = _revision(last["response_range"])
        at = at or int(told["header"]["revision"])
    return facts


def last_commit(cluster: Cluster, at: int, deadline: float) -> int:
    """The revision of the last commit up to a revision; 0 asks for now, and says that there is none.

    Raises:
        Answer: It is compacted, or a future one.
    """
    body: dict[str, Any] = {"key": packed(cluster.layout.commit), "keys_only": True}
    if at:
        body["revision"] = str(at)
    return _revision(cluster.gateway.call("/v3/kv/range", body, deadline))


def oldest_kept(cluster: Cluster, deadline: float) -> int:
    """The oldest revision that etcd can still read; a watch from the beginning tells.

    Raises:
        StoreUnavailable: Nobody tells by the deadline.
    """
    since = monotonic()
    while True:
        try:
            found = _oldest_kept(cluster, deadline)
            if found:
                return found
            why: Exception = Silent(trouble.OTHER, "the watch ended")
        except (StoreUnavailable, Answer) as exc:
            why = exc
        if cluster.gateway.is_given_up or monotonic() >= deadline:
            raise trouble.unavailable(dict.fromkeys(cluster.access.endpoints, why), monotonic() - since)
        sleep(_PAUSE_S)  # a stream that is refused is refused at once


def _oldest_kept(cluster: Cluster, deadline: float) -> int:
    """As one member tells it; 0: it does not."""
    create = {"key": packed(cluster.layout.format), "start_revision": "1"}
    stream = cluster.gateway.stream("/v3/watch", {"create_request": create}, deadline)
    try:
        stream.hurry(min(cluster.access.request_s_max, deadline - monotonic()))
        for told in stream:
            if told.get("compact_revision"):
                return int(told["compact_revision"])
            if told.get("events"):
                return 1
    finally:
        stream.end()
    cluster.gateway.left(stream.endpoint)
    return 0


def _revision(told: dict[str, Any]) -> int:
    kvs = told.get("kvs")
    return int(kvs[0]["mod_revision"]) if kvs else 0
