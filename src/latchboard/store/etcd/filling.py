"""Filling: a whole store out of a prefix, and a prefix made a store by what is copied into it.

Law 1. From the first key to the last one `format` says that the copy is not finished: everybody else refuses it.
Law 2. Every txn compares that `format` is the one that this copy put: of two copies the later one goes on alone.
Law 3. No txn does harm when it is done twice, so that one without an answer is sent again.

Protocol: protocol/etcd.md, "Copying".
"""

from __future__ import annotations

import os

from latchboard.clock import iso
from latchboard.codec import decode, encode
from latchboard.errors import MalformedRecord, ProtocolError, StoreBusy, UsageError
from latchboard.store.checks import check_value
from latchboard.store.copying import Whole
from latchboard.store.etcd.facts import compare, text_of
from latchboard.store.etcd.gateway import packed, unpacked
from latchboard.store.etcd.layout import FORMAT, end_of, value_of
from latchboard.store.etcd.snapshot import last_commit
from latchboard.store.etcd.trouble import Answer
from latchboard.store.etcd.version import check_version
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from latchboard.store.copying import Part
    from latchboard.store.etcd.cluster import Cluster

    T = TypeVar("T")

_PAGE_COUNT = 500
WHO = "store copy"


def everything(cluster: Cluster, damaged: list[MalformedRecord] | None = None) -> Whole:
    """All records of a store, of one revision; those that cannot be read are added to `damaged`, where it is given.

    Raises:
        MalformedRecord: One cannot be read.
        StoreError, ProtocolError: It cannot be asked, or is no store.
    """
    found, last = uncompacted(cluster)
    records, present = {}, []
    for key, kv in found.items():
        if key.startswith(PRESENCES):
            present.append(key[len(PRESENCES) :])
            continue
        try:
            records[key] = value_of(key, text_of(kv, int(kv["mod_revision"]), cluster.told))
        except MalformedRecord as exc:
            if damaged is None:
                raise
            damaged.append(exc)
    return Whole(cluster.told(last), records, present)


def uncompacted(cluster: Cluster) -> tuple[dict[str, dict[str, Any]], int]:
    """The records of `pages`, begun again where etcd forgot that revision meanwhile; and the last commit in them.

    Raises:
        StoreError, ProtocolError: It cannot be asked, or is no store.
    """
    cluster.open(cluster.deadline())

    def read() -> tuple[dict[str, dict[str, Any]], int]:
        found, at = pages(cluster)
        return found, last_commit(cluster, at, cluster.deadline())

    return _again(read)


def _again(read: Callable[[], T]) -> T:
    """What is read of one revision, which etcd may forget meanwhile: then of another one."""
    while True:
        try:
            return read()
        except Answer as said:
            if not said.is_compacted:
                raise


def pages(cluster: Cluster) -> tuple[dict[str, dict[str, Any]], int]:
    """Every key below `records/`, and the revision of etcd that this is of. Raises Answer: compacted."""
    found: dict[str, dict[str, Any]] = {}
    begin, end = cluster.layout.records, end_of(cluster.layout.records)
    at = 0
    while True:
        body = {"key": packed(begin), "range_end": packed(end), "limit": str(_PAGE_COUNT)}
        told = cluster.gateway.call("/v3/kv/range", body | ({"revision": str(at)} if at else {}), cluster.deadline())
        at = at or int(told["header"]["revision"])
        kvs = told.get("kvs") or []
        for kv in kvs:
            found[cluster.layout.key(unpacked(kv["key"]))] = kv
        if not told.get("more"):
            return found, at
        begin = unpacked(kvs[-1]["key"]) + b"\0"


class Filling:
    """A copy into a prefix."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._format: dict[str, Any] = {}
        self._revision = 0  # of the format that this copy has put

    def begin(self, above: int, source: str) -> None:
        cluster = self._cluster
        deadline = cluster.deadline()
        version = cluster.gateway.version(deadline)
        check_version(version, cluster.access.endpoints, takes_any=cluster.access.takes_any_version)
        there = self._there()
        self._format = {"format": FORMAT, "store_id": os.urandom(16).hex(), "base": above, "copied_from": source}
        text = encode({**self._format, "copying": True})
        put = {"request_put": {"key": packed(cluster.layout.format), "value": packed(text)}}
        records = cluster.layout.records
        wipe = {"request_delete_range": {"key": packed(records), "range_end": packed(end_of(records))}}
        body = {"compare": [compare(cluster.layout.format, there)], "success": [put, wipe]}
        told = cluster.gateway.call("/v3/kv/txn", body | {"failure": [self._range()]}, deadline)
        if told.get("succeeded"):
            self._revision = int(told["header"]["revision"])
            return
        found, revision = _format_of(told)
        if found.get("store_id") != self._format["store_id"]:
            raise self._overtaken()
        self._revision = revision  # it was sent twice

    def _there(self) -> int:
        """The mod_revision of the format of a copy that did not end; 0: nothing is there.

        Raises:
            UsageError, ProtocolError: Something else is.
        """
        cluster = self._cluster
        begin, end = cluster.layout.everything
        some = {"request_range": {"key": packed(begin), "range_end": packed(end), "limit": "1", "keys_only": True}}
        told = cluster.gateway.call("/v3/kv/txn", {"success": [self._range(), some]}, cluster.deadline())
        written, keys = (answer["response_range"].get("kvs") or [] for answer in told["responses"])
        if not written and keys:
            raise ProtocolError(
                f"the keys below {cluster.access.prefix} are somebody else's: none of them is a format of ours",
                hint="choose a prefix that nobody uses",
                prefix=cluster.access.prefix,
            )
        if not written:
            return 0
        data = unpacked(written[0].get("value", ""))
        if not _is_unfinished(data):
            cluster.read_format(data)
            raise UsageError(
                f"there is a store below {cluster.access.prefix} already",
                hint="choose a prefix that nobody uses; nothing was changed",
            )
        return int(written[0]["mod_revision"])

    def put(self, part: Part) -> None:
        layout, bytes_max = self._cluster.layout, self._cluster.properties.value_bytes_max
        puts = [
            {"request_put": {"key": packed(layout.record(key)), "value": packed(check_value(key, value, bytes_max))}}
            for key, value in part
        ]
        self._do(puts)

    def everything(self) -> Whole:
        found, at = _again(lambda: pages(self._cluster))
        texts = {key: text_of(kv, int(kv["mod_revision"]), lambda revision: revision) for key, kv in found.items()}
        return Whole(at, {key: value_of(key, text) for key, text in texts.items()})

    def finish(self) -> None:
        layout, now = self._cluster.layout, iso(self._cluster.clock.now().wall_s)
        told = {"id": self._format["store_id"], "at": now, "who": WHO, "keys": [], "traces": {}, "copied": True}
        self._do(
            [
                {"request_put": {"key": packed(layout.format), "value": packed(encode(self._format))}},
                {"request_put": {"key": packed(layout.commit), "value": packed(encode(told))}},
            ]
        )

    def _do(self, operations: list[dict[str, Any]]) -> None:
        cluster = self._cluster
        body = {
            "compare": [compare(cluster.layout.format, self._revision)],
            "success": operations,
            "failure": [self._range()],
        }
        told = cluster.gateway.call("/v3/kv/txn", body, cluster.deadline())
        if told.get("succeeded"):
            return
        if _format_of(told)[0] != self._format:  # else it was sent twice, and is finished
            raise self._overtaken()

    def _range(self) -> dict[str, Any]:
        return {"request_range": {"key": packed(self._cluster.layout.format)}}

    def _overtaken(self) -> StoreBusy:
        return StoreBusy(
            f"somebody else copies into {self._cluster.access.prefix} now",
            hint="see what became of that before you try again",
        )


def _format_of(told: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """What a txn that was refused found in the place of the format, and its mod_revision; nothing: it is none."""
    kvs = told["responses"][0]["response_range"].get("kvs") or [{}]
    try:
        return decode(unpacked(kvs[0].get("value", ""))), int(kvs[0].get("mod_revision", 0))
    except ValueError:
        return {}, 0


def _is_unfinished(data: bytes) -> bool:
    try:
        told = decode(data)
    except ValueError:
        return False
    return told.get("format") == FORMAT and bool(told.get("copying"))
