"""Looking: how the members of a cluster stand, and whether what lies below a prefix is what a store has there.

Law. Nothing is written. What one member does not say is told as its trouble, and keeps nobody from the others.

Protocol: protocol/etcd.md, "Looking at a store".
"""

from __future__ import annotations

from time import monotonic

from latchboard.codec import decode
from latchboard.errors import CoordinationError
from latchboard.store.etcd.errors import AuthRefused
from latchboard.store.etcd.facts import text_of
from latchboard.store.etcd.filling import uncompacted
from latchboard.store.etcd.gateway import packed, unpacked
from latchboard.store.etcd.layout import end_of
from latchboard.store.etcd.tries import mismatch
from latchboard.store.etcd.trouble import FULL_HINT, Answer, NotSent, Silent
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster

_LIMIT_S_MIN = 0.05
_NEARBY_KEYS_MAX = 500
_FIELDS = {"id": str, "at": str, "who": str, "keys": list, "traces": dict}


class Member:
    """One member of a cluster, as it says.

    Attributes:
        endpoint: Its URL.
        version: Such as `3.5.30`; "": it does not say.
        is_leader: Of the cluster.
        can_serve: It answers, and knows a leader.
        db_bytes: Size of its data.
        is_full: The cluster's quota is used up: it takes no commits.
        trouble: Why it cannot be used, or what it is alarmed about; "": nothing.
    """

    __slots__ = ("can_serve", "db_bytes", "endpoint", "is_full", "is_leader", "trouble", "version")

    def __init__(self, endpoint: str, told: dict[str, Any], trouble: str = "") -> None:
        leader = str(told.get("leader", "0"))
        self.endpoint = endpoint
        self.version = str(told.get("version", ""))
        self.can_serve = leader != "0"
        self.is_leader = leader == str(told.get("header", {}).get("member_id", ""))
        self.db_bytes = int(told.get("dbSize", 0))
        self.trouble = trouble or "; ".join(str(one).strip() for one in told.get("errors") or ())
        if not self.trouble and not self.can_serve:
            self.trouble = "it knows no leader"
        self.is_full = any("NOSPACE" in str(one) for one in told.get("errors") or ())
        if self.is_full:
            self.trouble = f"it has used up its quota and takes no commits: {FULL_HINT} ({self.trouble})"


def members(cluster: Cluster) -> list[Member]:
    """Each endpoint of the address, side by side: all of them have a quarter of a call's limit to answer in."""
    from concurrent.futures import ThreadPoolExecutor

    endpoints = cluster.access.endpoints
    deadline = monotonic() + cluster.access.request_s_max
    with ThreadPoolExecutor(len(endpoints)) as pool:
        return list(pool.map(lambda endpoint: _member(cluster, endpoint, deadline), endpoints))


def _member(cluster: Cluster, endpoint: str, deadline: float) -> Member:
    try:
        return Member(endpoint, cluster.gateway.ask(endpoint, "/v3/maintenance/status", {}, deadline))
    except (NotSent, Silent) as exc:
        other = mismatch(cluster.gateway.wire, endpoint, exc, deadline)
        return Member(endpoint, {}, str(other or f"it does not answer: {exc}"))
    except Answer as said:
        return Member(endpoint, {}, said.text)
    except CoordinationError as exc:
        if isinstance(exc.__cause__, Answer) and exc.__cause__.is_denied:
            return _reticent(cluster, endpoint, deadline)
        return Member(endpoint, {}, f"{exc.message} ({exc.hint})" if exc.hint else exc.message)


def _reticent(cluster: Cluster, endpoint: str, deadline: float) -> Member:
    """A member that tells of itself to root alone, as later ones do where passwords are asked for; and its version."""
    try:
        version = cluster.gateway.wire.version(endpoint, max(_LIMIT_S_MIN, deadline - monotonic()))
    except (NotSent, Silent, CoordinationError) as exc:
        return Member(endpoint, {}, f"it does not answer: {exc}")
    return Member(endpoint, {"version": version, "leader": "somebody"})


def nearby(cluster: Cluster) -> list[str]:
    """Prefixes that look like a store's where this one lies, for whoever finds nothing at it: among the first 500 keys.

    Raises:
        StoreError: It cannot be asked. That we may not look there is none: nothing is known of it.
    """
    begin = f"{cluster.access.prefix.rpartition('/')[0]}/".encode()
    body = {
        "key": packed(begin),
        "range_end": packed(end_of(begin)),
        "limit": str(_NEARBY_KEYS_MAX),
        "keys_only": True,
    }
    try:
        kvs = cluster.gateway.call("/v3/kv/range", body, cluster.deadline()).get("kvs") or ()
    except AuthRefused:
        return []
    keys = [unpacked(kv["key"]).decode("utf-8", "backslashreplace") for kv in kvs]
    known = set(keys)
    found: list[str] = []
    for key in keys:
        prefix, _, last = key.rpartition("/")
        is_inside = any(prefix.startswith(f"{one}/") for one in found)  # a record may be called so
        if last == "format" and f"{prefix}/commit" in known and not is_inside:
            found.append(prefix)
    return found


def faults(cluster: Cluster) -> dict[str, str]:
    """By key below the prefix: what is wrong with it. Of the records only what no commit has put.

    Raises:
        StoreError, ProtocolError: It cannot be asked, or is no store.
    """
    found, last = uncompacted(cluster)
    wrong = {
        f"records/{key}": "no commit has put it"
        for key, kv in found.items()
        if int(kv["mod_revision"]) > last and not key.startswith(PRESENCES)
    }
    return wrong | _commit_fault(cluster) | dict.fromkeys(_strangers(cluster), "no store has such a key")


def _commit_fault(cluster: Cluster) -> dict[str, str]:
    """Of the last commit that there is now."""
    body = {"key": packed(cluster.layout.commit)}
    kvs = cluster.gateway.call("/v3/kv/range", body, cluster.deadline()).get("kvs")
    if not kvs:
        return {}
    try:
        told = decode(text_of(kvs[0], int(kvs[0]["mod_revision"]), cluster.told))
    except ValueError:
        return {"commit": "it cannot be read"}
    missing = [name for name, kind in _FIELDS.items() if not isinstance(told.get(name), kind)]
    return {"commit": f"{missing[0]} is missing or wrong"} if missing else {}


def _strangers(cluster: Cluster) -> list[str]:
    """Keys around those of the records that are none of ours."""
    layout = cluster.layout
    begin, end = layout.everything
    behind = layout.records[:-1] + b"0"  # what comes behind every key of a record
    found = []
    for first, until in ((begin, layout.records), (behind, end)):
        body = {"key": packed(first), "range_end": packed(until), "keys_only": True}
        for kv in cluster.gateway.call("/v3/kv/range", body, cluster.deadline()).get("kvs") or ():
            key = unpacked(kv["key"])
            if key not in (layout.commit, layout.format, layout.gate) and not key.startswith(
                (layout.prefix + b"fence/", layout.deleted(""))
            ):
                found.append(key[len(layout.prefix) :].decode("utf-8", "backslashreplace"))
    return found
