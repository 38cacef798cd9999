"""The newest etcd that Debian has, which is no older than is asked for: every promise of the port, and one history."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.store.etcd.access import Access
from tests.conftest import SOAK
from tests.histories.conftest import _nursery, nursery
from tests.histories.test_etcd import explain, run_of
from tests.process.nursery import Nursery
from tests.store.etcd.server import BINARY, NEWEST, Member, Place
from tests.store.etcd.test_suite import TestEtcdStore as OfTheSystem

__all__ = ["_nursery", "nursery"]

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(
        NEWEST == BINARY or not os.path.exists(NEWEST),
        reason="not applicable: .ci/etcd could not fetch a newer etcd than this machine's",
    ),
]
DURATION_S = 5.0


class NewestMember(Member):
    binary = NEWEST


class Newest(Place):
    """Its version is looked at, as by whoever uses it."""

    member = NewestMember

    def access(self, prefix: str = "", *, call_s_max: float = 10.0) -> Access:
        access = super().access(prefix, call_s_max=call_s_max)
        access.takes_any_version = False
        return access


@pytest.fixture(scope="module")
def etcd() -> Iterator[Place]:
    place = Newest()
    yield place
    place.close()


class TestNewestEtcd(OfTheSystem):
    if not SOAK:
        test_any_key_and_value_comes_back = None  # throws dice for longer than it says anything new


@pytest.mark.timeout(300)
def test_what_processes_did_on_it_can_be_explained(nursery: Nursery, tmp_path: Path, etcd: Place) -> None:
    explain(run_of(nursery, tmp_path, etcd, seed=0), tmp_path, DURATION_S)
