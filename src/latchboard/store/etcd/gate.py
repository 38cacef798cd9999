"""Gate: while an effect runs nobody commits. It hangs on an etcd lease, so that one who dies keeps nobody for long.

Law 1. The effect begins only while enough of the lease is left, counted from before it was asked for.
Law 2. Whoever leaves the gate does so in the same txn that commits, and only if it still is his.

Protocol: protocol/etcd.md, "Effect".
"""

from __future__ import annotations

from time import monotonic

from latchboard.clock import iso
from latchboard.codec import encode
from latchboard.errors import StoreBusy, StoreError
from latchboard.store.etcd.facts import compare
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.layout import GATE_MARGIN_S, GATE_TTL_S
from latchboard.store.etcd.trouble import Lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster

_FRESH_S = 2.0


class GateLease:
    """The lease that a process's gates hang on; a new one, or a renewed one, as the old one grows old.

    Attributes:
        began: Before it was asked for, monotonic seconds.
    """

    def __init__(self) -> None:
        self.began = 0.0
        self._id = ""

    def forget(self) -> None:
        """It has ended: take another one."""
        self._id = ""

    def take(self, cluster: Cluster, deadline: float) -> str:
        """The id of a lease that has at least two thirds of its time left."""
        if self._id and monotonic() - self.began < _FRESH_S:
            return self._id
        began = monotonic()
        body = {"TTL": str(GATE_TTL_S), "ID": "0"}
        self._id = str(cluster.gateway.call("/v3/lease/grant", body, deadline)["ID"])
        self.began = began
        return self._id


class GateSeen:
    """A gate that is in the way, and since when it is known to be there.

    Its lease ends it; but each new leader lets a lease begin anew, and where leaders change all the time it would never
    end. Whoever has seen the same gate for longer than its owner may count on it opens it.
    """

    def __init__(self) -> None:
        self._revision = 0
        self._since = 0.0

    def is_over(self, revision: int) -> bool:
        """Note that the gate is shut, at that revision (0: it is open); whether its owner's time is up for certain."""
        if revision != self._revision:
            self._revision, self._since = revision, monotonic()
        return revision > 0 and monotonic() - self._since > GATE_TTL_S


class Gate:
    """One effect's.

    Attributes:
        id: Of this attempt.
    """

    def __init__(self, cluster: Cluster, who: str, deadline: float) -> None:
        self._cluster = cluster
        self._deadline = deadline
        self.id = cluster.new_id()
        self._lease = cluster.gate_lease.take(cluster, deadline)
        self._began = cluster.gate_lease.began
        self._told = encode({"id": self.id, "who": who, "at": iso(cluster.clock.now().wall_s)})

    def operation(self) -> dict[str, Any]:
        """What shuts it."""
        key = packed(self._cluster.layout.gate)
        return {"request_put": {"key": key, "value": packed(self._told), "lease": self._lease}}

    def run(self, effect: Callable[[], None], revision: int) -> None:
        """Run the effect behind the gate, which was shut at that revision. If it raises, the gate is opened."""
        try:
            if monotonic() - self._began > GATE_TTL_S - GATE_MARGIN_S:
                raise StoreBusy("etcd took too long to shut the gate", hint="nothing was changed; try again")
            effect()
        except BaseException:
            self._open(revision)
            raise

    def leave(self, operations: list[dict[str, Any]], id_: str, revision: int) -> int:
        """Commit and open the gate in one; returns the commit's revision. With nothing to commit, just open it.

        Raises:
            StoreError: The gate was not ours any more, or nobody answered.
        """
        cluster = self._cluster
        layout = cluster.layout
        if not operations:
            self._open(revision)
            return revision
        deadline = max(self._deadline, monotonic() + cluster.access.request_s_max)
        while True:
            body = {
                "compare": [compare(layout.gate, revision), cluster.fence.compare()],
                "success": [*operations, {"request_delete_range": {"key": packed(layout.gate)}}],
                "failure": [{"request_range": {"key": packed(key)}} for key in (layout.gate, cluster.fence.key)],
            }
            since = cluster.gateway.newest
            try:
                told = cluster.gateway.call_once("/v3/kv/txn", body, deadline)
            except Lost as exc:
                found = cluster.fence.settle(layout.commit, id_, since, deadline, str(exc))
                if found is not None:
                    return found
                continue
            except StoreError as exc:
                raise _unrecorded(exc.message) from exc
            if told.get("succeeded"):
                return int(told["header"]["revision"])
            gate, fence = (answer["response_range"].get("kvs") or [] for answer in told["responses"])
            if not gate or int(gate[0]["mod_revision"]) != revision:
                raise _unrecorded("the lease of the gate has ended")
            cluster.fence.note(int(fence[0]["mod_revision"]) if fence else 0)

    def _open(self, revision: int) -> None:
        """Best effort: the lease ends by itself."""
        try:
            open_gate(self._cluster, revision, monotonic() + self._cluster.access.request_s_max)
        except StoreError:
            return


def open_gate(cluster: Cluster, revision: int, deadline: float) -> None:
    """Open the gate that was shut at that revision, if it still is. Raises StoreError: nobody answers."""
    gate = cluster.layout.gate
    body = {"compare": [compare(gate, revision)], "success": [{"request_delete_range": {"key": packed(gate)}}]}
    cluster.gateway.call("/v3/kv/txn", body, deadline)


def _unrecorded(why: str) -> StoreError:
    return StoreError(
        f"the effect is done and was not recorded: {why}",
        hint="look at what it changed; nothing else was committed",
    )
