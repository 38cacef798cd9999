"""Presence: this process as everybody sees it, on whatever machine: a record that is there while the process is.

Law 1. The record hangs on an etcd lease: who was killed, is cut off, or is stopped for longer than it lasts, is gone.
Law 2. A process is sure of its own for the time of the lease less a margin, counted from before it asked for it; later
       it asks first.
Law 3. What is gone does not come back: the next presence has another id, and what was held under the old one is over.

Protocol: protocol/etcd.md, "Presence".
"""

from __future__ import annotations

from _thread import RLock
from time import monotonic

from latchboard.clock import iso
from latchboard.codec import encode
from latchboard.errors import CoordinationError, StoreBusy
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.trouble import Answer
from latchboard.store.port import PRESENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from latchboard.store.etcd.cluster import Cluster

TTL_S = 15
MARGIN_S = 3.0
_END_S_MAX = 1.0
_AGAIN_S = 1.0


class Presence:
    """That of this process. Threads may share it; a forked child begins its own."""

    def __init__(self, cluster: Cluster) -> None:
        """Nobody is told of it before `id` is called."""
        self._cluster = cluster
        self._lock = RLock()
        self._id = ""
        self._lease = ""
        self._sure_until = 0.0
        self._is_over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def id(self) -> str:
        """The name under which it is known now; it begins with the first call.

        Raises:
            StoreError: etcd does not answer, so that nobody can be sure of it.
        """
        with self._lock:
            deadline = self._cluster.deadline()
            if self._id and monotonic() >= self._sure_until:
                self._renew(deadline)
            if not self._id:
                self._begin(deadline)
            return self._id

    def end(self) -> None:
        """It is over, and everybody may know; a later call of `id` begins another one."""
        with self._lock:
            lease, self._id, self._lease = self._lease, "", ""
            if self._is_over is not None:
                self._is_over.set()
            self._thread = None
        if lease:
            try:
                self._cluster.gateway.call("/v3/lease/revoke", {"ID": lease}, monotonic() + _END_S_MAX)
            except (CoordinationError, Answer):
                return  # it ends by itself

    # -- the lease ----------------------------------------------------------------------------------------------------

    def _begin(self, deadline: float) -> None:
        cluster = self._cluster
        cluster.open(deadline)
        cluster.begin(deadline)
        began = monotonic()
        lease = str(cluster.gateway.call("/v3/lease/grant", {"TTL": str(TTL_S), "ID": "0"}, deadline)["ID"])
        name = cluster.new_id()
        text = encode({"since": iso(cluster.clock.now().wall_s)})
        put = {"key": packed(cluster.layout.record(f"{PRESENCES}{name}")), "value": packed(text), "lease": lease}
        try:
            told = cluster.gateway.call("/v3/kv/put", put, deadline)
        except Answer as said:
            if not said.is_lease_gone:
                raise
            raise StoreBusy(
                "this process was stopped for too long to say that it is there", hint="nothing was changed; try again"
            ) from said
        cluster.known.note([(f"{PRESENCES}{name}", (int(told["header"]["revision"]), text))])
        self._id, self._lease, self._sure_until = name, lease, began + TTL_S - MARGIN_S
        if self._thread is None:
            import threading  # by who is present alone: a hook is not

            self._is_over = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._is_over,), name="latchboard is present", daemon=True
            )
            self._thread.start()

    def _renew(self, deadline: float) -> None:
        """Ask for more time; where the lease has ended, so has the presence."""
        began = monotonic()
        try:
            told = self._cluster.gateway.call("/v3/lease/keepalive", {"ID": self._lease}, deadline)
        except Answer as said:
            if not said.is_lease_gone:
                raise
            told = {}
        left_s = int(told.get("result", told).get("TTL", 0))
        if left_s > 0:
            self._sure_until = began + left_s - MARGIN_S
        else:
            self._id = self._lease = ""

    def _run(self, is_over: threading.Event) -> None:
        """In a thread: ask for more time long before it is needed; a new presence is begun by whoever needs one."""
        pause_s = TTL_S / 3
        while not is_over.wait(pause_s):
            pause_s = TTL_S / 3
            with self._lock:
                if self._id and not is_over.is_set():
                    try:
                        self._renew(monotonic() + self._cluster.access.request_s_max)
                    except (CoordinationError, Answer):
                        pause_s = min(_AGAIN_S, pause_s)  # once more, while it lasts
