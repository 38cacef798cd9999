"""The etcd store against the model of the other stores; answers get lost, requests come late, history is compacted."""

from __future__ import annotations

import uuid
from time import monotonic
from typing import TYPE_CHECKING, Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.store import EtcdStore
from tests.conftest import SOAK
from tests.store.etcd.lossy import DONE, LATE, NOT_DONE, Lossy
from tests.store.test_machine import StoreMachine, _change, changes, which

if TYPE_CHECKING:
    from latchboard.store.port import Store
    from tests.store.etcd.server import Place


class EtcdMachine(StoreMachine):
    etcd: Place

    def __init__(self) -> None:
        super().__init__()
        self.access = self.etcd.access()
        self.compacted = 0
        self.lossy: dict[int, Lossy] = {}
        self.gateway = Gateway(self.access)

    def open(self) -> Store:
        store = EtcdStore(self.access, clock=self.clock)
        self.lossy[id(store)] = Lossy(store)
        return store

    def may_forget(self, told: int, happened: int) -> bool:
        return told == 0 or (told < len(self.commits) and self.commits[told][0] <= self.compacted)

    def may_be_unknown(self, revision: int) -> bool:
        return revision < self.compacted

    @rule(number=which, changed=changes, how=st.sampled_from([DONE, NOT_DONE, LATE]), in_effect=st.booleans())
    def lose_an_answer(self, number: int, changed: dict[str, Any], how: str, in_effect: bool) -> None:
        store = self.stores[number]
        lossy = self.lossy[id(store)]
        lost, ran = lossy.lost_count, []
        if not in_effect:
            lossy.lose(how)

        def effect() -> None:
            ran.append(1)
            lossy.lose(how)

        run = effect if in_effect else None
        done = store.transact(lambda view: _change(view, changed), who="machine", effect=run)

        assert lossy.lost_count == lost + 1
        assert len(ran) == in_effect
        self.committed(done.revision, changed)

    @precondition(lambda self: self.commits)
    @rule(back=st.integers(0, 10))
    def compact(self, back: int) -> None:
        revision = self.commits[max(0, len(self.commits) - 1 - back)][0]
        if revision > self.compacted:
            self.gateway.call("/v3/kv/compaction", {"revision": str(revision)}, monotonic() + 10)
            self.compacted = revision

    @rule()
    def somebody_else_commits(self) -> None:
        self.gateway.call("/v3/kv/put", {"key": packed(f"/others/{uuid.uuid4().hex}")}, monotonic() + 10)

    def teardown(self) -> None:
        self.gateway.close()
        super().teardown()


def test_etcd_machine(etcd: Place) -> None:
    machine = type("Machine", (EtcdMachine,), {"etcd": etcd})
    bounds = {} if SOAK else {"max_examples": 30, "stateful_step_count": 40}
    run_state_machine_as_test(machine, settings=hypothesis_settings(**bounds))  # type: ignore[arg-type]
