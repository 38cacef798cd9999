"""Short-lived processes commit through a daemon that is killed, stopped and started anew all the time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import CoordinationError
from latchboard.store.etcd.access import Access
from latchboard.store.etcd.gateway import Gateway
from latchboard.store.etcd.relay import Relay
from latchboard.store.etcd.relaying import Relaying
from latchboard.store.etcd.store import EtcdStore
from tests.process.nursery import until
from tests.store.etcd.relayed import ended, forked
from tests.store.etcd.server import Place
from tests.store.etcd.test_faults import add

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.soak]  # of one commit: test_relay.py

WORKERS_COUNT, COMMITS_COUNT = 8, 30
TOTAL = WORKERS_COUNT * COMMITS_COUNT


class Chaos:
    """A daemon that has nothing to do but to relay, those who use it, and what they were told."""

    def __init__(self, access: Access, folder: Path) -> None:
        self.access = access
        self._log = folder / "told"
        self._log.write_text("")
        self.daemon = self.begun()

    def begun(self) -> int:
        """The pid of a new daemon, which answers."""
        self.daemon = forked(self._serve)
        until(Relay(self.access, self.access.relay).answers, "it answers")
        return self.daemon

    def _serve(self) -> None:
        relaying = Relaying(Gateway(self.access), self.access.relay)
        relaying.start()
        while True:
            signal.pause()

    def kill(self) -> None:
        daemon, self.daemon = self.daemon, 0
        if daemon:
            os.kill(daemon, signal.SIGKILL)
            os.waitpid(daemon, 0)

    def work(self, worker: int) -> None:
        """One process after the other, each for one commit."""
        for number in range(COMMITS_COUNT):
            assert ended(forked(lambda name=f"w{worker}-{number}": self._commit(name))) == 0

    def _commit(self, name: str) -> None:
        def change(view: Any) -> None:
            add(view)
            view.put(f"agents/{name}", {"n": (view.get(f"agents/{name}") or {"n": 0})["n"] + 1})

        store = EtcdStore(self.access, clock=SystemClock())
        try:
            store.transact(change, who=name)
            told = "done"
        except CoordinationError as exc:
            told = exc.code
        with self._log.open("a") as log:
            log.write(f"{name} {told}\n")
        store.close()

    def told(self) -> dict[str, str]:
        return dict(line.split() for line in self._log.read_text().splitlines())

    def wait_for_more(self) -> None:
        """Until some more were told what became of them."""
        aim = min(TOTAL, len(self.told()) + 3)
        until(lambda: len(self.told()) >= aim, "some commits have ended")


@pytest.fixture
def chaos(etcd: Place, tmp_path: Path) -> Iterator[Chaos]:
    access = etcd.access()
    access.relay = str(tmp_path / "relay")
    made = Chaos(access, tmp_path)
    yield made
    made.kill()


def test_commit_that_was_told_done_is_there_once_and_one_that_was_refused_is_not(chaos: Chaos) -> None:
    workers = [forked(lambda number=number: chaos.work(number)) for number in range(WORKERS_COUNT)]
    while len(chaos.told()) < TOTAL:
        chaos.wait_for_more()
        chaos.kill()
        chaos.wait_for_more()
        chaos.begun()
        chaos.wait_for_more()
        os.kill(chaos.daemon, signal.SIGSTOP)
        chaos.wait_for_more()
        os.kill(chaos.daemon, signal.SIGCONT)
    assert [ended(pid) for pid in workers] == [0] * WORKERS_COUNT

    plain = copy(chaos.access)
    plain.relay = ""
    store = EtcdStore(plain, clock=SystemClock())
    found = {key.partition("/")[2]: value["n"] for key, value in store.read("agents/").scan("agents/")}
    assert found.pop("count") == sum(found.values())
    told = chaos.told()
    assert set(found.values()) == {1}
    assert {name for name, said in told.items() if said == "done"} <= set(found)
    assert all(said in ("done", "store-outcome-unknown") for name, said in told.items() if name in found)
    assert len(found) > TOTAL / 2
    store.close()
