"""Heartbeat: keeps a claim while its command runs, from a thread of its own, and says when it is lost.

Law 1. A claim that could not be renewed for its whole lease time is lost: somebody else may have it.
Law 2. Nothing ends the thread in silence.

Protocol: protocol/worker.md, "Running".
"""

from __future__ import annotations

import threading

from latchboard.errors import CoordinationError, HoldLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from latchboard.rules.workqueue import Lease
    from latchboard.worker.port import Ports
    from latchboard.workqueue import WorkQueue

HOMELESS = "the project's folder is gone"
_TRIES_PER_LEASE = 20
"""After a renewal that failed: often enough to get through when the trouble is over, and no load."""


class Heartbeat:
    """Renews one claim until the context ends.

    Attributes:
        lost: Why the claim is lost; "" while it is not.
        wakeup: Readable once it is lost.
    """

    def __init__(self, queue: WorkQueue, lease: Lease, ports: Ports) -> None:
        self._queue = queue
        self._lease = lease
        self._clock = ports.clock
        self._is_home = ports.is_home
        self.lost = ""
        self.wakeup = ports.make_wakeup()
        self._over = ports.make_wakeup()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.ring()
        self._thread.join()
        self._over.close()
        self.wakeup.close()

    def _run(self) -> None:
        try:
            self._beat()
        except Exception as exc:  # noqa: BLE001 - a mistake of ours must not leave a command without a lease
            self._lose(f"{type(exc).__name__}: {exc}")

    def _beat(self) -> None:
        ttl_s = self._lease["ttl_seconds"]
        pause_s = ttl_s / 3
        renewed_s = self._clock.now().mono_s
        while not self._clock.wait([self._over], pause_s):
            if not self._is_home():
                self._lose(HOMELESS)
                return
            now_s = self._clock.now().mono_s  # before the call: the lease lasts longer than we think, never shorter
            try:
                self._queue.renew(self._lease["task_id"], self._lease["token"])
            except HoldLost as exc:
                self._lose(exc.message)
                return
            except CoordinationError as exc:
                left_s = renewed_s + ttl_s - self._clock.now().mono_s
                if left_s <= 0:
                    self._lose(f"it could not be renewed for {ttl_s:g} s: {exc.message}")
                    return
                pause_s = min(ttl_s / _TRIES_PER_LEASE, left_s)
            else:
                renewed_s, pause_s = now_s, ttl_s / 3

    def _lose(self, why: str) -> None:
        self.lost = why
        self.wakeup.ring()
