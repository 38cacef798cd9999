"""A store that fails, waits or runs functions again is still a store."""

from __future__ import annotations

from itertools import cycle, repeat
from typing import TYPE_CHECKING

import pytest

from latchboard.errors import StoreUnavailable
from latchboard.store.memory import MemoryStore
from latchboard.store.wrap import DELAY, DUPLICATE, FAIL_AFTER, FAIL_BEFORE, FaultyStore
from latchboard.testing.clock import ManualClock
from latchboard.testing.suite import StoreSuite

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View


class TestStoreThatRunsFunctionsAgain(StoreSuite):
    def open_pair(self, place: Path, clock: Clock, settings: Settings) -> tuple[Store, Store]:
        first = MemoryStore(clock=clock, settings=settings)
        second = MemoryStore(clock=clock, settings=settings, beside=first)
        return FaultyStore(first, faults=repeat(DUPLICATE)), FaultyStore(second, faults=cycle([None, DUPLICATE]))

    def open_forgetful_pair(self, place: Path, clock: Clock) -> tuple[Store, Store]:
        first = MemoryStore(clock=clock, commits_kept_count=300)
        return FaultyStore(first, faults=repeat(DUPLICATE)), MemoryStore(clock=clock, beside=first)


def test_failure_before_commits_nothing() -> None:
    inner = MemoryStore(clock=ManualClock())
    store = FaultyStore(inner, faults=[FAIL_BEFORE, FAIL_BEFORE])

    with pytest.raises(StoreUnavailable):
        store.transact(_add, who="a")
    with pytest.raises(StoreUnavailable):
        store.read("agents/a")

    assert inner.read("agents/a").get("agents/a") is None
    store.transact(_add, who="a")
    assert store.read("agents/a").get("agents/a") == {"n": 1}


def test_failure_after_commits_nevertheless__failure_3_31() -> None:
    store = FaultyStore(MemoryStore(clock=ManualClock()), faults=[FAIL_AFTER])

    with pytest.raises(StoreUnavailable, match="unknown"):
        store.transact(_add, who="a")

    assert store.read("agents/a").get("agents/a") == {"n": 1}


def test_duplicate_run_counts_once() -> None:
    store = FaultyStore(MemoryStore(clock=ManualClock()), faults=repeat(DUPLICATE))

    for _ in range(3):
        store.transact(_add, who="a")

    assert store.read("agents/a").get("agents/a") == {"n": 3}


def test_delay_lets_others_go_first() -> None:
    inner = MemoryStore(clock=ManualClock())
    store = FaultyStore(inner, faults=[DELAY], pause=lambda: inner.transact(_add, who="b"))

    assert store.transact(_add, who="a").value == 2


def _add(view: View) -> int:
    value = view.get("agents/a") or {"n": 0}
    value["n"] += 1
    view.put("agents/a", value)
    return int(value["n"])
