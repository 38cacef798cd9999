"""What a process took is measured without the time in which it stood still."""

from __future__ import annotations

import signal
import time

import pytest

from tests.awake import Awake
from tests.process.nursery import Channel, Nursery

pytestmark = pytest.mark.process

STOPPED_S = 1.0


def watch(channel: Channel) -> None:
    """Say how long it took until it was asked."""
    with Awake() as awake:
        channel.send(is_ready=True)
        channel.receive()
        channel.send(s=awake.s)


def test_a_stop_is_not_counted(nursery: Nursery) -> None:
    child = nursery.start(watch)
    child.receive()
    since = time.monotonic()
    child.stop()
    time.sleep(STOPPED_S)
    child.kill(signal.SIGCONT)
    told_s = child.ask()["s"]

    assert told_s < time.monotonic() - since - STOPPED_S / 2
