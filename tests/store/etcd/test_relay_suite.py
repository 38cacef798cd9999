"""The etcd store keeps every promise of the port through a daemon, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.store.etcd.access import Access
from tests.store.etcd import test_suite
from tests.store.etcd.relayed import Relayed, unhurried
from tests.store.etcd.server import Place

pytestmark = pytest.mark.soak


class TestRelayedStore(test_suite.TestEtcdStore):
    @pytest.fixture(autouse=True)
    def _server(self, etcd: Place) -> Iterator[None]:
        self.etcd = etcd
        self.relayed: dict[str, Relayed] = {}
        with unhurried():
            yield
            for one in self.relayed.values():
                assert one.used_count
                one.close()

    def access(self, place: Path) -> Access:
        plain = super().access(place)
        if plain.prefix not in self.relayed:
            self.relayed[plain.prefix] = Relayed(plain)
        return self.relayed[plain.prefix].its()
