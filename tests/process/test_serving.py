"""What the tests of daemons stand on: each has ports of its own, whoever else runs tests on this machine."""

from __future__ import annotations

from tests.process import serving
from tests.process.nursery import Channel, Nursery
from tests.process.serving import free_ports


def taking(channel: Channel, count: int) -> None:
    channel.send(taken=[free_ports(30) for _ in range(count)])
    channel.receive(3600)


def test_two_workers_are_never_given_the_same_ports(nursery: Nursery) -> None:
    count = serving._MARKS_COUNT
    others = [nursery.start(taking, count=count) for _ in range(2)]
    taken = [first for other in others for first in other.receive()["taken"]]
    taken += [free_ports(30) for _ in range(count)]

    blocks = [set(range(first, first + 30)) for first in taken]

    assert len(set().union(*blocks)) == 30 * 3 * count
