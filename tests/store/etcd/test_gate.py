"""The gate of an effect: what it hangs on, and who may go through it."""

from __future__ import annotations

from base64 import b64encode
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.errors import StoreBusy, StoreError
from latchboard.store.etcd import gate
from latchboard.store.etcd.transaction import Transaction
from latchboard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latchboard.store.etcd.store import EtcdStore
    from tests.store.etcd.server import Place

pytestmark = [pytest.mark.process]


@pytest.fixture
def store(etcd: Place) -> Iterator[EtcdStore]:
    store = etcd.store(etcd.access(), ManualClock())
    yield store
    store.close()


def put(view: Any) -> None:
    view.put("agents/a", {"n": 1})


def revoke(store: EtcdStore, lease: str) -> None:
    store._cluster.gateway.call("/v3/lease/revoke", {"ID": lease}, monotonic() + 10)


def is_shut(store: EtcdStore) -> bool:
    key = b64encode(store._cluster.layout.gate).decode()
    return "kvs" in store._cluster.gateway.call("/v3/kv/range", {"key": key}, monotonic() + 10)


def test_one_lease_serves_effects_for_as_long_as_enough_of_it_is_left(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_FRESH_S", 60.0)
    cluster, lease = store._cluster, store._cluster.gate_lease
    first = lease.take(cluster, monotonic() + 10)

    assert lease.take(cluster, monotonic() + 10) == first
    lease.began -= 60.0  # so long ago
    before = monotonic()
    second = lease.take(cluster, monotonic() + 10)
    assert second != first
    assert lease.began >= before
    lease.forget()
    assert lease.take(cluster, monotonic() + 10) not in (first, second)


def test_an_effect_whose_lease_has_ended_before_the_gate_was_shut_takes_another_one(store: EtcdStore) -> None:
    """As when the process was stopped in between; nobody was let through, so the effect runs, once."""
    effects: list[int] = []
    store.transact(lambda view: None, who="a", effect=lambda: effects.append(0))
    cluster = store._cluster
    revoke(store, cluster.gate_lease.take(cluster, monotonic() + 10))
    gateway: Any = cluster.gateway
    paths: list[str] = []
    real = gateway._call

    def noted(path: str, *of: Any, **how: Any) -> Any:
        paths.append(path)
        return real(path, *of, **how)

    gateway._call = noted
    store.transact(put, who="a", effect=lambda: effects.append(1))
    del gateway._call

    assert effects == [0, 1]
    assert paths.count("/v3/lease/grant") == 1
    assert paths.count("/v3/kv/txn") < 8, "it did not come back with the lease that has ended"
    assert store.read("agents/a").get("agents/a") == {"n": 1}


def test_an_effect_does_not_begin_when_too_little_of_its_lease_is_left(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects: list[int] = []

    with monkeypatch.context() as patch:
        patch.setattr(gate, "GATE_MARGIN_S", gate.GATE_TTL_S)
        with pytest.raises(StoreBusy, match="shut the gate"):
            store.transact(put, who="a", effect=lambda: effects.append(1))

    assert effects == []
    assert store.read("agents/a").get("agents/a") is None
    assert not is_shut(store)


def test_an_effect_whose_lease_ended_meanwhile_is_done_and_said_not_to_be_recorded(store: EtcdStore) -> None:
    def effect() -> None:
        revoke(store, store._cluster.gate_lease._id)

    with pytest.raises(StoreError, match="the effect is done and was not recorded: the lease of the gate"):
        store.transact(put, who="a", effect=effect)

    assert store.read("agents/a").get("agents/a") is None


@pytest.mark.parametrize("left_s", [-1.0, 0.05])
def test_who_has_waited_for_others_up_to_its_limit_says_so_and_not_that_etcd_is_silent(
    etcd: Place, left_s: float
) -> None:
    access = etcd.access()
    store, other = (etcd.store(access, ManualClock()) for _ in range(2))
    store.transact(put, who="a")
    waiting: Transaction = Transaction(other._cluster, put, "b", None)
    waiting._look()
    waiting._wait()
    late = monotonic() + left_s

    def effect() -> None:
        behind: Transaction = Transaction(other._cluster, put, "b", None)
        behind._look()
        behind._wait()
        behind._deadline = late
        with pytest.raises(StoreBusy, match="effect did not end"):
            behind._wait()

    waiting._deadline = late
    with pytest.raises(StoreBusy, match="others changed what this commit needs, 2 times"):
        waiting._wait()
    store.transact(lambda view: None, who="a", effect=effect)
    store.close()
    other.close()


def test_whoever_left_the_gate_has_opened_it(store: EtcdStore) -> None:
    seen: list[bool] = []

    store.transact(put, who="a", effect=lambda: seen.append(is_shut(store)))
    seen.append(is_shut(store))
    store.transact(lambda view: None, who="a", effect=lambda: seen.append(is_shut(store)))

    assert [*seen, is_shut(store)] == [True, False, True, False]
