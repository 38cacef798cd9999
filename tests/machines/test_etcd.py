"""Locks, mailbox and replay against their models, on a real etcd: the services are the same, and so are the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from latchboard.store.etcd.store import EtcdStore
from tests.conftest import SOAK
from tests.machines.test_locks import LockMachine
from tests.machines.test_mailbox import SETTINGS as MAIL_SETTINGS
from tests.machines.test_mailbox import MailboxMachine
from tests.machines.test_replay import SETTINGS as REPLAY_SETTINGS
from tests.machines.test_replay import ReplayMachine
from tests.services.locks.scene import Scene
from tests.store.etcd.conftest import etcd

if TYPE_CHECKING:
    from tests.store.etcd.server import Place

__all__ = ["etcd"]

pytestmark = pytest.mark.slow


class OneMachine(EtcdStore):
    """The model's processes are of one machine, which judges them by itself: there is no presence."""

    present = None  # type: ignore[assignment]


class EtcdLockMachine(LockMachine):
    etcd: Place

    def make_scene(self, **settings: Any) -> Scene:
        access = self.etcd.access()
        return Scene(
            self.folder, engine=lambda clock, limits: OneMachine(access, clock=clock, settings=limits), **settings
        )


class EtcdMailboxMachine(MailboxMachine):
    etcd: Place

    def make_store(self) -> Any:
        self.access = self.etcd.access()
        return self.second_store()

    def second_store(self) -> Any:
        return EtcdStore(self.access, clock=self.clock, settings=MAIL_SETTINGS)

    @rule()
    def store_is_opened_anew(self) -> None:
        self.store.inner.close()
        self.store.inner = self.second_store()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.inner.close()


class EtcdReplayMachine(ReplayMachine):
    etcd: Place

    def make_store(self) -> Any:
        self.access = self.etcd.access()
        return EtcdStore(self.access, clock=self.clock, settings=REPLAY_SETTINGS)

    @rule()
    def another_program_looks(self) -> None:
        self.store.close()
        self.store = EtcdStore(self.access, clock=self.clock, settings=REPLAY_SETTINGS)


@pytest.mark.timeout(3600 if SOAK else 300)
@pytest.mark.parametrize(
    ("kind", "examples", "steps"),
    [(EtcdLockMachine, 15, 30), (EtcdMailboxMachine, 15, 30), (EtcdReplayMachine, 4, 20)],
    ids=["locks", "mailbox", "replay"],
)
def test_machine_on_etcd(kind: type[RuleBasedStateMachine], examples: int, steps: int, etcd: Place) -> None:
    machine = type(kind.__name__, (kind,), {"etcd": etcd})
    bounds: dict[str, Any] = {} if SOAK else {"max_examples": examples, "stateful_step_count": steps}
    run_state_machine_as_test(machine, settings=hypothesis_settings(**bounds))  # type: ignore[arg-type]
