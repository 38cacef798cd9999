"""Bell: a watch of one record. It is there before the place in line is committed, so that no ring is missed.

Protocol: protocol/etcd.md, "Watching".
"""

from __future__ import annotations

from time import monotonic

from latchboard.errors import StoreUnavailable
from latchboard.store.etcd.feed import Feed
from latchboard.store.etcd.gateway import packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.errors import CoordinationError
    from latchboard.store.etcd.cluster import Cluster
    from latchboard.store.etcd.trouble import Answer


class EtcdBell(Feed):
    """Readable after its key was put or deleted, or may have been while nobody listened."""

    def __init__(self, cluster: Cluster, key: str) -> None:
        """Raises StoreError: etcd does not answer, or no file handle is left."""
        super().__init__(cluster, key)
        self._key = packed(cluster.layout.record(key))
        self._is_listening = False
        self._was_broken = False
        self._why: CoordinationError | Answer | None = None
        deadline = cluster.deadline()
        try:
            cluster.open(deadline)
        except BaseException:
            self.close()
            raise
        self.start()
        with self.condition:
            while not self._is_listening:
                left_s = deadline - monotonic()
                if left_s <= 0:
                    break
                self.condition.wait(left_s)
            is_listening = self._is_listening
        if not is_listening:
            self.close()
            raise StoreUnavailable(f"etcd does not watch {key}: {self._why}", hint="nothing was changed; try again")

    def clear(self) -> None:
        """Forget the rings so far."""
        self.wakeup.clear()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def create(self) -> dict[str, Any]:
        return {"key": self._key}

    def take(self, told: dict[str, Any]) -> bool:
        if told.get("canceled"):
            self.failed(None)
            return False
        if told.get("created"):
            with self.condition:
                self._is_listening = True
                self.condition.notify_all()
            if self._was_broken:
                self._was_broken = False
                self.wakeup.ring()  # it may have been put meanwhile
        if told.get("events"):
            self.wakeup.ring()
        return True

    def failed(self, why: CoordinationError | Answer | None) -> None:
        self._was_broken = True
        self._why = why
