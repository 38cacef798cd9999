"""A gateway whose next answer gets lost, and whose request may arrive late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latchboard.store.etcd.gateway import Gateway, Lost
from latchboard.store.etcd.store import EtcdStore

DONE = "done"
NOT_DONE = "not done"
LATE = "late"


class Lossy:
    """What happens to the next request that must not be sent twice.

    Attributes:
        lost_count: Of how many the answer was lost.
        meanwhile: What happens while nobody knows what became of it.
    """

    def __init__(self, store: EtcdStore) -> None:
        gateway = store._cluster.gateway
        self._call = gateway.call
        self._call_once = gateway.call_once
        self._next = ""
        self._late: Callable[[], object] | None = None
        self.lost_count = 0
        self.meanwhile: Callable[[], object] = lambda: None
        patched: Any = gateway
        patched.call_once = self.call_once
        patched.call = self.call
        assert isinstance(gateway, Gateway)

    def lose(self, how: str) -> None:
        """The next answer is lost: of a request that was done, was not, or is done when it has been ruled out."""
        self._next = how

    def call_once(self, path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        how, self._next = self._next, ""
        if not how:
            return self._call_once(path, body, deadline)
        self.lost_count += 1
        if how == DONE:
            self._call_once(path, body, deadline)
        elif how == LATE:
            self._late = lambda: self._call_once(path, body, deadline)
        self.meanwhile()
        raise Lost("the answer was lost")

    def call(self, path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        told = self._call(path, body, deadline)
        if path == "/v3/kv/put" and self._late is not None:  # the fence
            late, self._late = self._late, None
            late()
        return told
