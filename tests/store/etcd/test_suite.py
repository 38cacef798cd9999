"""The etcd store keeps every promise of the port, on a real etcd."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.layout import Layout
from latchboard.store.etcd.store import EtcdStore
from latchboard.testing.suite import StoreSuite
from tests.store.etcd.server import Place

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Committed, Store

KEPT_COUNT = 300
BEHIND_COUNT_MAX = 500


class Forgetful(EtcdStore):
    """Compacts what is older than the last few hundred revisions, as an operator's etcd does now and then."""

    _count = 0
    base = 0
    """Of the revisions that the store tells: etcd's are smaller by so much."""

    def transact(self, *arguments: Any, **options: Any) -> Committed[Any]:
        done = super().transact(*arguments, **options)
        self._count += 1
        revision = done.revision - self.base
        if self._count % 100 == 0 and revision > KEPT_COUNT and self._count > KEPT_COUNT:
            compact(self.access, revision - KEPT_COUNT)
        return done


def compact(access: Access, revision: int) -> None:
    gateway = Gateway(access)
    gateway.call("/v3/kv/compaction", {"revision": str(revision)}, monotonic() + 10)
    gateway.close()


class TestEtcdStore(StoreSuite):
    can_be_damaged = True
    leaves_traces = True

    @pytest.fixture(autouse=True)
    def _server(self, etcd: Place) -> None:
        self.etcd = etcd

    def access(self, place: Path) -> Access:
        return self.etcd.access(str(place).strip("/").replace("/", "."))

    def open_pair(self, place: Path, clock: Clock, settings: Settings) -> tuple[Store, Store]:
        access = self.access(place)
        first = EtcdStore(access, clock=clock, settings=settings)
        return first, EtcdStore(access, clock=clock, settings=settings)

    def open_forgetful_pair(self, place: Path, clock: Clock) -> tuple[Store, Store]:
        access = self.access(place)
        access.behind_count_max = BEHIND_COUNT_MAX
        return Forgetful(access, clock=clock), EtcdStore(access, clock=clock)

    def damage(self, place: Path, key: str) -> None:
        access = self.access(place)
        at = Layout(access.prefix).record(key)
        self._call(access, "/v3/kv/put", {"key": packed(at), "value": packed(b'{"half a rec')})

    def contents(self, place: Path) -> Any:
        access = self.access(place)
        begin, end = Layout(access.prefix).everything
        return self._call(access, "/v3/kv/range", {"key": packed(begin), "range_end": packed(end)}).get("kvs")

    def _call(self, access: Access, path: str, body: dict[str, Any]) -> dict[str, Any]:
        gateway = Gateway(access)
        try:
            return gateway.call(path, body, monotonic() + 10)
        finally:
            gateway.close()
