"""Two machines whose clocks differ: leases end early or late by as much, and nobody writes past anybody's grant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import HoldLost
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock

TTL_S = 900.0
APART_S = (30.0, 600.0)


class Pair:
    """One store, a machine whose clock is right, and one whose clock is ahead (or behind) by some seconds."""

    def __init__(self, root: Path, ahead_s: float) -> None:
        self._clocks = (ManualClock(boot="boot-1"), ManualClock(boot="boot-2", mono_s=5.0))
        self._clocks[1].jump_wall(ahead_s)
        first = MemoryStore(clock=self._clocks[0])
        stores: tuple[Any, Any] = (first, MemoryStore(clock=self._clocks[1], beside=first))
        hosts = (FakeHost(host="machine-1", boot="boot-1"), FakeHost(host="machine-2", boot="boot-2"))
        self.one, self.other = (
            Latchboard(root, clock=clock, store=store, host=host, publishes=False)
            for clock, store, host in zip(self._clocks, stores, hosts, strict=True)
        )
        self.file = root / "x"
        self.file.write_text("before")

    def advance(self, s: float) -> None:
        for clock in self._clocks:
            clock.advance(s)


@pytest.mark.parametrize("ahead_s", APART_S)
@pytest.mark.parametrize("bound", ["agent", "process"])
def test_a_lease_ends_early_by_as_much_as_the_others_clock_is_ahead_and_its_holder_is_refused_and_told(
    tmp_path: Path, ahead_s: float, bound: Any
) -> None:
    pair = Pair(tmp_path, ahead_s)
    hold = pair.one.agent("a").lock("x", bound=bound, ttl_s=TTL_S)
    pair.advance(TTL_S - ahead_s - 1)
    assert not pair.other.agent("b").try_lock("x")
    assert hold.is_live()

    pair.advance(2)
    taken = pair.other.agent("b").lock("x")

    assert taken.token > hold.token
    assert not hold.is_live()
    with pytest.raises(HoldLost, match="belongs to b now"):
        hold.write("x", "by a")
    with pytest.raises(HoldLost):
        hold.renew()
    assert pair.file.read_text() == "before"
    taken.write("x", "by b")
    (mail,) = pair.one.mailbox.receive("a")
    assert "x" in mail["body"]


@pytest.mark.parametrize("behind_s", APART_S)
@pytest.mark.parametrize("bound", ["agent", "process"])
def test_a_lease_ends_late_where_the_others_clock_is_behind_but_not_for_its_holder(
    tmp_path: Path, behind_s: float, bound: Any
) -> None:
    pair = Pair(tmp_path, -behind_s)
    hold = pair.one.agent("a").lock("x", bound=bound, ttl_s=TTL_S)

    pair.advance(TTL_S + 1)

    with pytest.raises(HoldLost, match="ran out"):
        hold.write("x", "by a")
    assert not pair.other.agent("b").try_lock("x")
    pair.advance(behind_s)
    assert pair.other.agent("b").lock("x").token > hold.token


@pytest.mark.parametrize("ahead_s", [*APART_S, *(-s for s in APART_S)])
def test_who_renews_in_time_by_both_clocks_keeps_its_lock(tmp_path: Path, ahead_s: float) -> None:
    pair = Pair(tmp_path, ahead_s)
    hold = pair.one.agent("a").lock("x", bound="agent", ttl_s=TTL_S)

    for _ in range(5):
        pair.advance(TTL_S - abs(ahead_s) - 1)
        assert not pair.other.agent("b").try_lock("x")
        hold.renew()

    hold.write("x", "by a")
    assert pair.file.read_text() == "by a"


@pytest.mark.parametrize("ahead_s", APART_S)
def test_who_waits_is_passed_over_by_the_clock_that_is_ahead_and_stands_in_line_again(
    tmp_path: Path, ahead_s: float
) -> None:
    pair = Pair(tmp_path, ahead_s)
    held = pair.other.agent("b").lock("x")
    request = pair.one.locks.request("a", ["x"])
    from latchboard.locks.waiting import queue, step

    pair.one.locks.transact("a", lambda table: queue(pair.one.locks, table, request, ahead_s / 2))

    held.release()

    assert pair.one.locks.transact("a", lambda table: step(pair.one.locks, table, request, 1.0))
