"""A commit whose answer got lost stands once or not at all: what comes late is ruled out, what was done is found."""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from latchboard.store.etcd.errors import OutcomeUnknown
from latchboard.store.etcd.gateway import packed
from latchboard.testing import ManualClock
from tests.awake import Awake
from tests.store.etcd.lossy import DONE, LATE, NOT_DONE, Lossy
from tests.store.etcd.server import Place
from tests.store.etcd.test_suite import compact

KEY = "agents/a"


def count(view: Any) -> int:
    n: int = (view.get(KEY) or {"n": 0})["n"] + 1
    view.put(KEY, {"n": n})
    view.put("log/count", {"token": view.revision})  # what is looked for in the history has its own revision in it
    return n


@pytest.mark.parametrize("how", [DONE, NOT_DONE, LATE])
@pytest.mark.parametrize("in_effect", [False, True])
def test_a_commit_whose_answer_was_lost_is_done_once(etcd: Place, how: str, in_effect: bool) -> None:
    store = etcd.store(etcd.access(), ManualClock())
    store.transact(count, who="a")
    lossy = Lossy(store)
    effects = []

    def effect() -> None:
        effects.append(1)
        lossy.lose(how)

    if not in_effect:
        lossy.lose(how)
    done = store.transact(count, who="a", effect=effect if in_effect else None)

    assert (done.value, lossy.lost_count, len(effects)) == (2, 1, in_effect)
    assert store.read(KEY).get(KEY) == {"n": 2}
    watch = store.watch(KEY, after=0)
    assert [change.value for change in watch.poll()] == [{"n": 1}, {"n": 2}]
    watch.close()
    store.close()


@pytest.mark.parametrize("how", [DONE, NOT_DONE, LATE])
def test_a_gate_whose_answer_was_lost_lets_one_effect_run(etcd: Place, how: str) -> None:
    store = etcd.store(etcd.access(), ManualClock())
    store.transact(count, who="a")
    lossy = Lossy(store)
    effects: list[int] = []
    lossy.lose(how)

    done = store.transact(count, who="a", effect=lambda: effects.append(1))

    assert (done.value, effects, store.read(KEY).get(KEY)) == (2, [1], {"n": 2})
    store.close()


@pytest.mark.parametrize("how", [DONE, NOT_DONE])
def test_what_others_commit_meanwhile_is_not_taken_for_it(etcd: Place, how: str) -> None:
    access = etcd.access()
    store, other = etcd.store(access, ManualClock()), etcd.store(access, ManualClock())
    store.transact(count, who="a")
    lossy = Lossy(store)

    def commit() -> None:
        other.transact(lambda view: view.put("agents/b", {}), who="b")
        put = {"key": packed(other._cluster.layout.commit), "value": packed("no JSON")}
        other._cluster.gateway.call("/v3/kv/put", put, monotonic() + 10)
        other.transact(lambda view: view.put("agents/c", {}), who="b")

    lossy.meanwhile = commit
    lossy.lose(how)

    assert store.transact(count, who="a").value == 2

    assert other.read(KEY).get(KEY) == {"n": 2}
    store.close()
    other.close()


def test_what_etcd_has_forgotten_meanwhile_is_known_to_nobody_and_said_at_once(etcd: Place) -> None:
    access = etcd.access()
    store, other = etcd.store(access, ManualClock()), etcd.store(access, ManualClock())
    store.transact(count, who="a")
    lossy = Lossy(store)

    def forget() -> None:
        for _ in range(3):
            revision = other.transact(lambda view: view.put("agents/b", {}), who="b").revision
        compact(access, revision)

    lossy.meanwhile = forget
    lossy.lose(DONE)

    with Awake() as took:
        with pytest.raises(OutcomeUnknown):
            store.transact(count, who="a")

        assert took.s < access.call_s_max / 2
    assert other.read(KEY).get(KEY) == {"n": 2}
    store.close()
    other.close()
