"""Processes on several machines know of each other who is there: by a record that lives as long as they say so."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.errors import HoldLost, LockHeld, StoreUnavailable, WaitEnded
from latchboard.store.etcd import presence
from latchboard.store.etcd.store import EtcdStore
from latchboard.surface.cli import wording
from latchboard.surface.hooks import denial
from latchboard.testing import FakeHost
from tests.store.etcd.server import Place

pytestmark = [pytest.mark.process]


class Machines:
    """Processes of which none can look at another: all that they have in common is the store."""

    def __init__(self, etcd: Place, root: Path) -> None:
        self._access = etcd.access()
        self.root = root
        self.boards: list[Latchboard] = []

    def board(self, host_id: str = "clone") -> Latchboard:
        store = EtcdStore(self._access, clock=SystemClock())
        # Clones of one disk have one machine id: each takes the others' processes for those of an earlier boot.
        host = FakeHost(host=host_id, boot=f"boot-{len(self.boards)}")
        self.boards.append(Latchboard(self.root, store=store, host=host, publishes=False))
        return self.boards[-1]

    def named(self, *names: str) -> list[Latchboard]:
        """One of each name, and of an id of its own."""
        boards = [self.board(f"id of {name}") for name in names]
        for board, name in zip(boards, names, strict=True):
            board.locks.host_name = name
        return boards


@pytest.fixture
def machines(etcd: Place, tmp_path: Path) -> Iterator[Machines]:
    made = Machines(etcd, tmp_path)
    yield made
    for board in made.boards:
        board.close()
        board.store.close()


def cut_off(board: Latchboard) -> None:
    """As if its lease had ended, and it has not learned of it."""
    cluster: Any = board.store._cluster  # type: ignore[attr-defined]
    cluster.gateway.call("/v3/lease/revoke", {"ID": cluster.presence._lease}, monotonic() + 10)


def forget_that_it_is_sure(board: Latchboard) -> None:
    board.store._cluster.presence._sure_until = 0.0  # type: ignore[attr-defined]


def test_holder_elsewhere_holds_while_it_is_present_and_not_longer(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    hold = one.agent("a").lock("x")
    with pytest.raises(LockHeld):
        other.agent("b").lock("x")
    assert hold.is_live()

    one.store.close()

    with other.agent("b").lock("x"):
        assert not hold.is_live()
        with pytest.raises(HoldLost):
            hold.renew()


def test_who_was_cut_off_has_lost_what_it_held_also_where_nobody_has_taken_it(machines: Machines) -> None:
    one = machines.board()
    (machines.root / "x").write_text("before")
    hold = one.agent("a").lock("x")

    cut_off(one)

    with pytest.raises(HoldLost):
        hold.write("x", "after")
    with pytest.raises(HoldLost):
        hold.renew()
    assert (machines.root / "x").read_text() == "before"
    assert not hold.release()


@pytest.mark.parametrize("by", ["takeover", "cleanup"])
def test_who_was_cut_off_is_told_by_the_history_and_by_mail_that_its_hold_is_lost(machines: Machines, by: str) -> None:
    one, other = machines.board(), machines.board()
    token = one.agent("a").lock("x").token
    cut_off(one)

    if by == "takeover":
        other.agent("b").lock("x")
    else:
        other.cleanup.run()

    (lost,) = other.stream.events("hold.", after=0, timeout_s=0)
    assert (lost["agent"], lost["name"], lost["token"], lost["why"]) == ("a", "x", token, "absent")
    assert lost["event"] in [event["event"] for event in other.board.history()]
    (mail,) = one.mailbox.receive("a")
    assert "You lost x" in mail["body"]
    assert mail["urgency"] == "high"


def test_who_does_not_know_that_it_was_cut_off_is_granted_nothing_and_comes_back_under_another_id(
    machines: Machines,
) -> None:
    one = machines.board()
    first = one.agent("a").lock("x")
    cut_off(one)
    with pytest.raises(StoreUnavailable, match="cut off"):
        one.agent("a").lock("y")

    forget_that_it_is_sure(one)

    with one.agent("a").lock("x", "y") as again:
        assert again.is_live()
        assert not first.is_live()


@pytest.mark.parametrize(("bound", "told"), [("process", "process, process {} on alpha"), ("agent", "agent, on alpha")])
def test_whoever_is_refused_is_told_the_name_of_the_holders_machine(bound: Any, told: str, machines: Machines) -> None:
    """Names are for people: who somebody is, is told apart by what it was."""
    one, other = machines.named("alpha", "beta")
    one.agent("planner").lock("x", bound=bound)
    now = other.clock.now()

    with pytest.raises(LockHeld) as caught:
        other.agent("b").lock("x")

    (held,) = caught.value.fields["holders"]
    assert held["host_name"] == "alpha"
    assert wording.holder(held, now)[-1].endswith(f"bound to the {told.format(held['pid'])}")
    asked = denial.Asked("b", ["x"], root="/", cwd="/", call="edit")
    assert "planner (on alpha) holds x" in denial.held(asked, [held], now)
    assert [entry["host_name"] for entry in other.board.read()["active_locks"]] == ["alpha"]
    assert [event["host_name"] for event in other.stream.events("lock.acquired", after=0, timeout_s=0)] == ["alpha"]
    one.locks.host_name = "renamed"
    assert one.agent("planner").lock("x", bound=bound).is_live()


def test_whose_store_spans_machines_says_its_own_name(machines: Machines, tmp_path: Path) -> None:
    assert machines.board().locks.here()["host_name"] == os.uname().nodename
    alone = Latchboard(tmp_path, publishes=False)
    assert "host_name" not in alone.locks.here()


def test_waiter_elsewhere_that_is_gone_is_passed_over(machines: Machines) -> None:
    holder, waiter, last = (machines.board() for _ in range(3))
    hold = holder.agent("a").lock("x")
    with pytest.raises(WaitEnded):  # it leaves its place; the one below stays, as if it had been killed
        waiter.agent("b").lock("x", wait_s_max=0.01)
    from latchboard.locks.waiting import queue

    request = waiter.locks.request("b", ["x"])
    waiter.locks.transact("b", lambda table: queue(waiter.locks, table, request, None))
    waiter.store.close()

    hold.release()

    with last.agent("c").lock("x"):
        assert [held["agent"] for held in last.locks.check(["x"])] == ["c"]


def test_cleanup_anywhere_ends_what_is_held_by_nobody_any_more(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    one.agent("a").lock("x", "y")
    assert other.cleanup.run().locks == []

    cut_off(one)

    assert [(gone["name"], gone["why"]) for gone in other.cleanup.run(dry_run=True).locks] == [
        ("x", "absent"),
        ("y", "absent"),
    ]
    assert len(other.cleanup.run().locks) == 2


@pytest.mark.slow
def test_who_is_present_stays_so_for_longer_than_one_lease(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TTL_S", 6)  # a third is left when it is renewed: a machine may stand still so long
    monkeypatch.setattr(presence, "MARGIN_S", 0.5)
    one, other = machines.board(), machines.board()
    hold = one.agent("a").lock("x")

    with pytest.raises(WaitEnded):
        other.agent("b").lock("x", wait_s_max=8.0)

    assert hold.release()


def test_nobody_is_sure_of_its_presence_for_longer_than_its_lease_less_a_margin(machines: Machines) -> None:
    mine: Any = machines.board().store._cluster.presence  # type: ignore[attr-defined]
    sure_s = presence.TTL_S - presence.MARGIN_S
    since = monotonic()

    name = mine.id()

    assert since < mine._sure_until <= monotonic() + sure_s
    mine._sure_until = since  # as if as much time had gone by
    assert mine.id() == name
    assert since < mine._sure_until <= monotonic() + sure_s


def test_presence_that_ended_leaves_no_thread_and_another_one_begins_with_one(machines: Machines) -> None:
    mine: Any = machines.board().store._cluster.presence  # type: ignore[attr-defined]
    first, thread = mine.id(), mine._thread

    mine.end()

    thread.join(10)
    assert not thread.is_alive()
    assert mine.id() != first
    assert mine._thread.is_alive()


def test_who_looks_for_its_own_presence_needs_no_round_trip_of_its_own(machines: Machines) -> None:
    store: Any = machines.board().store
    key = f"processes/{store.present()}"
    gateway = store._cluster.gateway
    paths: list[str] = []
    real = gateway._call

    def noted(path: str, *of: Any, **how: Any) -> Any:
        paths.append(path)
        return real(path, *of, **how)

    gateway._call = noted
    store.transact(lambda view: view.put("agents/a", {"of": view.get(key)}), who="a")
    del gateway._call
    assert len(paths) == 1


def test_who_only_looks_or_sends_is_no_presence(machines: Machines) -> None:
    one = machines.board()
    one.mailbox.send("a", "b", "hello")
    with one.agent("a").lock("x", bound="agent"):
        one.board.update("a", "at work")

    assert one.store.read("processes/").scan("processes/") == []


class Waits(threading.Event):
    """An end that never comes until it was waited for as often as that: for how long each time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.s: list[float | None] = []
        self._count = count

    def wait(self, timeout: float | None = None) -> bool:
        self.s.append(timeout)
        return len(self.s) > self._count


def test_who_could_not_say_that_it_is_there_says_so_again_soon(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    hold = one.agent("a").lock("x")
    mine: Any = one.store._cluster.presence  # type: ignore[attr-defined]
    renewed, waits = mine._renew, Waits(4)

    def renew(deadline: float) -> None:
        if len(waits.s) < 4:
            raise StoreUnavailable("etcd is cut off")
        renewed(deadline)

    mine._renew = renew
    mine._run(waits)

    as_ever_s, soon_s = presence.TTL_S / 3, presence._AGAIN_S
    assert waits.s == [as_ever_s, soon_s, soon_s, soon_s, as_ever_s]
    assert as_ever_s + 3 * soon_s < presence.TTL_S - presence.MARGIN_S, "else its time would be over"
    assert hold.is_live()
    with pytest.raises(LockHeld):
        other.agent("b").lock("x")


def test_who_was_stopped_before_it_said_that_it_is_there_is_told_to_try_again(machines: Machines) -> None:
    one = machines.board()
    gateway = one.store._cluster.gateway  # type: ignore[attr-defined]
    call = gateway.call

    def late(path: str, body: dict[str, Any], deadline: float) -> Any:
        if body.get("lease"):
            call("/v3/lease/revoke", {"ID": body["lease"]}, deadline)  # as if it had run out meanwhile
        return call(path, body, deadline)

    gateway.call = late
    with pytest.raises(StoreUnavailable, match="was stopped") as caught:
        one.agent("a").lock("x")

    assert caught.value.retryable
    gateway.call = call
    assert one.agent("a").lock("x").is_live()
