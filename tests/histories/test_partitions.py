"""The same processes, on machines whose networks part, one way or both: what they did can be explained."""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.histories.nemesis import Run
from tests.histories.test_etcd import AGENTS_COUNT, HARMS_COUNT_MIN, SEEDS, _any_version, explain
from tests.histories.worker import follow
from tests.process.nursery import Channel, Child, Nursery, until
from tests.store.etcd.conftest import net
from tests.store.etcd.net import Machine, Net, enter, inside
from tests.store.etcd.server import BINARY, Place

__all__ = ["_any_version", "net"]

pytestmark = [pytest.mark.process, pytest.mark.slow]

PARTED_S_MAX = 3.0
"""Shorter than a presence lasts: one that ends is another test's (tests/store/etcd/test_partitions.py)."""


class Partitions:
    """A thread that parts the networks of members and workers in random ways, and heals them.

    Attributes:
        count: How often they were parted.
    """

    def __init__(self, net: Net, members: list[Machine], workers: list[Machine], seed: int) -> None:
        self.count = 0
        self._net, self._members, self._workers = net, members, workers
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        harms = [self._part_a_member, self._part_a_member_with_workers, self._deafen, self._gag, self._cut_workers_off]
        while not self._is_over.wait(0.3 + self._random.random()):
            self._random.choice(harms)(self._random.choice(self._members))
            self.count += 1
            self._is_over.wait(self._random.random() * PARTED_S_MAX)
            self._net.heal()

    def _part_a_member(self, member: Machine) -> None:
        self._net.part([member])

    def _part_a_member_with_workers(self, member: Machine) -> None:
        self._net.part([member, self._random.choice(self._workers)])

    def _deafen(self, member: Machine) -> None:
        for other in self._members:
            if other is not member:
                self._net.drop(other, member)

    def _gag(self, member: Machine) -> None:
        for other in self._net.machines:
            if other is not member:
                self._net.drop(member, other)

    def _cut_workers_off(self, member: Machine) -> None:
        for worker in self._workers:
            self._net.drop(worker, member)
            self._net.drop(member, worker)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        until(lambda: self.count >= HARMS_COUNT_MIN or not self._thread.is_alive(), "some were cut off", 120)
        self._is_over.set()
        self._thread.join()
        self._net.heal()


class Abroad:
    """A nursery whose processes are on other machines: whoever watches on one, the workers on the others in turn."""

    def __init__(self, nursery: Nursery, watcher: Machine, workers: list[Machine]) -> None:
        self._nursery = nursery
        self._watcher = watcher
        self._workers = workers

    def start(self, function: Callable[..., None], **arguments: Any) -> Child:
        self._workers.append(self._workers.pop(0))
        where = self._watcher if function is follow else self._workers[0]
        name = f"{function.__module__}:{function.__qualname__}"
        return self._nursery.start(elsewhere, path=where.path, what=name, arguments=arguments)


def elsewhere(channel: Channel, path: str, what: str, arguments: dict[str, Any]) -> None:
    """In the process: go there, and run the function."""
    enter(path)
    module, _, name = what.partition(":")
    getattr(importlib.import_module(module), name)(channel, **arguments)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_they_did_while_networks_parted_can_be_explained(
    seed: int, nursery: Nursery, tmp_path: Path, net: Net, require_tool: Callable[[str], str]
) -> None:
    require_tool(BINARY)
    members, workers, watcher = [net.machine() for _ in range(3)], [net.machine() for _ in range(2)], net.machine()
    place = Place(3, machines=members)
    access = place.access()
    partitions = Partitions(net, members, workers, seed)
    abroad: Any = Abroad(nursery, watcher, workers[:])
    run = Run(
        abroad, tmp_path, agents_count=AGENTS_COUNT, seed=seed, store=access.address, besides=partitions, pause_s=0.5
    )

    with closing(place), inside(watcher.path):
        explain(run, tmp_path)

    assert partitions.count >= HARMS_COUNT_MIN
