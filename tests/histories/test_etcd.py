"""The same processes under the same kills and pauses, with the store in etcd, whose servers are killed as well."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.histories.checker import check
from tests.histories.nemesis import Run, is_enough
from tests.process.nursery import Nursery, until
from tests.store.etcd.conftest import cluster
from tests.store.etcd.server import Place
from tests.store.etcd.test_faults import Cluster

__all__ = ["cluster"]

pytestmark = [pytest.mark.process, pytest.mark.slow]

AGENTS_COUNT = 8
DURATION_S = 120.0 if SOAK else 15.0
SEEDS = range(3) if SOAK else range(1)
HARMS_COUNT_MIN = 3
"""A run goes on until so many were done: on a busy machine each takes long."""


class Kills:
    """A thread that kills one member after the other, the leader among them, and starts it again.

    Attributes:
        count: How many it has killed.
    """

    def __init__(self, place: Place, seed: int) -> None:
        self.count = 0
        self._place = place
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._is_over.wait(1.0 + 2 * self._random.random()):
            member = self._random.choice(self._place.members)
            member.kill()
            self.count += 1
            self._is_over.wait(self._random.random() / 2)
            self._place.restart(member)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        until(lambda: self.count >= HARMS_COUNT_MIN or not self._thread.is_alive(), "some were killed", 120)
        self._is_over.set()
        self._thread.join()


def run_of(nursery: Nursery, folder: Path, place: Place, *, seed: int, besides: Kills | None = None) -> Run:
    access = place.access()
    hosts = ",".join(endpoint.partition("://")[2] for endpoint in access.endpoints)
    address = f"etcd://{hosts}{access.prefix}"
    return Run(nursery, folder, agents_count=AGENTS_COUNT, seed=seed, store=address, besides=besides, pause_s=0.5)


def explain(run: Run, folder: Path, duration_s: float = DURATION_S) -> None:
    """Let them work; everything that is told must be explained."""
    history = run.history(duration_s)
    (folder / "commits.json").write_text("\n".join(map(json.dumps, history.commits)))  # to look at after a failure

    calls = Counter((op.call, op.result.get("code", "ok") if op.result else "never returned") for op in history.ops)
    print(f"{run.killed_count} kills, {run.stopped_count} pauses, {len(history.commits)} commits, {dict(calls)}")
    problems = check(history)
    if problems:
        pytest.fail(f"{len(problems)} things cannot be explained\n" + "\n".join(problems[:50]), pytrace=False)
    assert run.killed_count and run.stopped_count
    assert is_enough(history.ops), "it says too little"


@pytest.fixture(autouse=True)
def _any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHBOARD_ETCD_ANY_VERSION", "1")


@pytest.mark.soak  # whose servers are killed as well does all of this, too
@pytest.mark.timeout(900)
def test_what_processes_did_can_be_explained(nursery: Nursery, tmp_path: Path, cluster: Cluster) -> None:
    explain(run_of(nursery, tmp_path, cluster(), seed=0), tmp_path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("members_count", [1, 3])
def test_what_they_did_while_servers_were_killed_can_be_explained(
    members_count: int, seed: int, nursery: Nursery, tmp_path: Path, cluster: Cluster
) -> None:
    place = cluster(members_count)
    kills = Kills(place, seed)

    explain(run_of(nursery, tmp_path, place, seed=seed, besides=kills), tmp_path)

    assert kills.count >= HARMS_COUNT_MIN
