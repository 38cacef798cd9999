"""Networks that part: nobody is granted what another may still have, nobody waits for ever, nothing acked is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SOAK
from tests.process.conftest import _nursery, nursery
from tests.process.nursery import Nursery, until
from tests.store.etcd.net import Machine, Net
from tests.store.etcd.remote import Remote
from tests.store.etcd.server import BINARY, Place
from tests.store.etcd.test_faults import LATE_S

__all__ = ["_nursery", "nursery"]

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

TTL_S = 15 if SOAK else 6
"""Of which a third is left when it is asked for more: it outlasts a machine that stands still for three seconds."""
CALL_S_MAX = 10.0 if SOAK else 4.0
UNANSWERED = {"store-unavailable", "store-busy", "store-outcome-unknown"}


class World:
    """Three members and two clients, each on a machine of its own."""

    def __init__(self, net: Net, nursery: Nursery, root: Path) -> None:
        self.net = net
        self.members = [net.machine() for _ in range(3)]
        self.place = Place(3, machines=self.members)
        access = self.place.access(call_s_max=CALL_S_MAX)
        self.near, self.far = (Remote(nursery, net.machine(), access, str(root), ttl_s=TTL_S) for _ in range(2))

    def leader(self) -> Machine:
        """Who leads, as the far client is told; between two of them nobody does for a while."""
        endpoint = until(lambda: self.far("leader"), "somebody leads", 60)
        clients = [member.client for member in self.place.members]
        return self.members[clients.index(endpoint)]

    def check(self, *counts: dict[str, Any]) -> None:
        """What the counters were told is what there is: each number once, in order, each with its revision."""
        done = [tuple(one) for count in counts for one in count["done"]]
        changes = self.far("watched", until=max(revision for _, revision in done))
        numbers = [n for _, n in changes]
        assert numbers == list(range(1, len(numbers) + 1))
        assert {(n, revision) for n, revision in done} <= {(n, revision) for revision, n in changes}
        unknown = sum(count["codes"].count("store-outcome-unknown") for count in counts)
        assert len(done) <= len(changes) <= len(done) + unknown
        assert {code for count in counts for code in count["codes"]} <= UNANSWERED
        assert all(count["slowest_s"] < CALL_S_MAX + LATE_S for count in counts)


@pytest.fixture
def world(net: Net, nursery: Nursery, tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[World]:
    require_tool(BINARY)
    made = World(net, nursery, tmp_path)
    yield made
    made.place.close()


@pytest.mark.parametrize("with_whom", ["nobody", "leader"])
def test_client_that_is_cut_off_commits_nothing_loses_what_it_holds_and_finds_out(
    world: World, with_whom: str, tmp_path: Path
) -> None:
    near, far = world.near, world.far
    (tmp_path / "x").write_text("before")
    first = near("lock", agent="a", name="x")
    for one in (near, far):
        one("count_from_now")
        one("wait_for", more=5)

    world.net.part([near.machine, *([world.leader()] if with_whom == "leader" else [])])
    far.begin("lock", agent="b", name="x", wait_s=60.0)
    refused = near.fails("write", name="x")
    alone = near("counted")
    taken = far.end()
    beside = far("counted")

    assert refused["code"] in UNANSWERED
    assert refused["took_s"] < CALL_S_MAX + LATE_S
    assert taken["value"] > first
    assert taken["took_s"] < 2 * TTL_S + CALL_S_MAX + 5 * LATE_S  # a new leader lets leases begin anew
    assert near("counted")["done"] == alone["done"], "committed behind a cut"
    assert (tmp_path / "x").read_text() == "before"

    world.net.heal()
    near("wait_for", more=60)  # more than a second: no call is short any more for one that nobody answered
    lost = near.fails("write", again=True, name="x")
    assert lost["code"] in ("hold-lost", "taken-over", "lease-expired"), lost
    assert near.fails("renew", again=True)["code"] == lost["code"]
    assert near("release") is False
    assert (tmp_path / "x").read_text() == "before"
    far("write", name="x")
    assert far("release") is True
    assert any("You lost x" in body for body in near("mail", agent="a"))
    assert ["a", "x", first] in near("lost")
    assert near("lock", agent="a", name="x") > taken["value"]
    for one in (near, far):
        one("end_counting")
    print(
        f"cut off with {with_whom}: taken over after {taken['took_s']:.1f} s; the others' gap {beside['gap_s']:.1f} s"
    )
    world.check(near("counted"), far("counted"))


def test_whatever_is_cut_on_the_way_calls_end_and_the_history_has_no_hole(world: World) -> None:
    near, far, net = world.near, world.far, world.net
    for one in (near, far):
        one("count_from_now")
        one("wait_for", more=5)

    def lose_an_endpoint(number: int) -> None:
        net.drop(near.machine, world.members[number])
        net.drop(world.members[number], near.machine)

    def deafen_the_leader() -> None:
        leader = world.leader()
        for other in world.members:
            if other is not leader:
                net.drop(other, leader)

    def gag_the_leader() -> None:
        leader = world.leader()
        for other in net.machines:
            if other is not leader:
                net.drop(leader, other)

    harms: list[Callable[[], None]] = [lambda: lose_an_endpoint(0), deafen_the_leader, gag_the_leader]
    if SOAK:
        harms += [lambda: lose_an_endpoint(1), lambda: lose_an_endpoint(2), lambda: net.part([world.leader()]), *harms]
    for harm in harms:
        harm()
        for one in (near, far):
            one("wait_for", more=10)
        net.heal()

    for one in (near, far):
        one("wait_for", more=5)
        one("end_counting")
    counts = near("counted"), far("counted")
    print(f"gaps {counts[0]['gap_s']:.1f} s and {counts[1]['gap_s']:.1f} s; failed {[len(c['codes']) for c in counts]}")
    world.check(*counts)
