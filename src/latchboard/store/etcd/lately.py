"""Lately: the end of the history, for who begins to look and must not read all of it.

How many commits there were is told by the version of the record that each of them puts, now and at earlier revisions;
revisions themselves are the whole cluster's, and say nothing of that.

Protocol: protocol/etcd.md, "Watching".
"""

from __future__ import annotations

from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.trouble import Answer
from latchboard.store.etcd.watch import EtcdWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.cluster import Cluster

COMMIT_BYTES = 600
"""What a commit counts for, where a span is given in bytes: what one of a few records takes."""


class Followed(EtcdWatch):
    """A watch that is never too far behind: it is cut off while nobody polls, and goes on from its place."""

    def behind(self) -> int:
        """Nothing that would be worth a new beginning."""
        return 0


class Lately:
    """What the board asks of a journal."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def follow(self, after: int) -> Followed:
        """Everything after a revision; 0: from the oldest change kept."""
        return Followed(self._cluster, "", after)

    def place_back(self, span_bytes: int) -> int:
        """A place so far back, or up to twice as far; 0: there is no more than that.

        Raises:
            StoreError: It cannot be asked.
        """
        cluster = self._cluster
        deadline = cluster.deadline()
        cluster.open(deadline)
        count = span_bytes // COMMIT_BYTES
        newest = self._commit(0, deadline)
        near, far = 0, count  # revisions back: too few commits, and enough; others' may lie between ours
        while newest is not None and newest["mod_revision"] - far > cluster.begun_at:
            found = self._commit(newest["mod_revision"] - far, deadline)
            if found is None:
                break
            if newest["version"] - found["version"] >= count:
                return self._nearer(newest, found, near, far, count, deadline)
            near, far = far, far * 4
        return 0

    def _nearer(
        self, newest: dict[str, int], found: dict[str, int], near: int, far: int, count: int, deadline: float
    ) -> int:
        """The place that was found `far` back, or a nearer one, if that is more than twice as far as needed."""
        while newest["version"] - found["version"] > 2 * count and far - near > 1:
            middle = (near + far) // 2
            between = self._commit(newest["mod_revision"] - middle, deadline)
            if between is None:
                return 0  # compacted meanwhile: what is kept begins nearer than that
            if newest["version"] - between["version"] >= count:
                far, found = middle, between
            else:
                near = middle
        return self._cluster.told(found["mod_revision"])

    def behind_gap(self) -> int:
        """Nothing is ever missing behind the oldest change kept."""
        return 0

    def _commit(self, at: int, deadline: float) -> dict[str, int] | None:
        """The last commit up to a revision, 0: now; None: there was none, or that is compacted."""
        body: dict[str, Any] = {"key": packed(self._cluster.layout.commit), "keys_only": True}
        if at:
            body["revision"] = str(at)
        try:
            kvs = self._cluster.gateway.call("/v3/kv/range", body, deadline).get("kvs")
        except Answer as said:
            if not said.is_compacted:
                raise
            return None
        return {name: int(kvs[0][name]) for name in ("mod_revision", "version")} if kvs else None
