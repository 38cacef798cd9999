"""Two containers over one folder: nobody is judged by a pid that means somebody else there (failures 3.5, 3.6)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from latchboard.locks.breaking import break_lock
from tests.process import space
from tests.process.nursery import Channel, Child, Nursery

pytestmark = pytest.mark.process


def in_a_container(channel: Channel, root: str, own_proc: bool) -> None:
    """As number 1 of a pid namespace: lock, or say why not, and hold until told otherwise."""
    if not space.become_first(channel, own_proc=own_proc):
        return
    try:
        channel.send(pid=os.getpid())
        _lock_when_told(channel, root)
    finally:
        os._exit(0)


def outside(channel: Channel, root: str) -> None:
    channel.send(pid=os.getpid())
    _lock_when_told(channel, root)


def _lock_when_told(channel: Channel, root: str) -> None:
    board = Latchboard(root, publishes=False)
    while True:
        word = channel.receive(3600)
        me = board.agent(word["agent"])
        try:
            hold = me.lock("src/a.py", ttl_s=word["ttl_s"], wait_s_max=word.get("wait_s_max", 0))
            channel.send(token=hold.token)
        except CoordinationError as exc:
            channel.send(refusal=exc.code)


def container(nursery: Nursery, root: Path, require: Any, *, own_proc: bool = True) -> Child:
    child = nursery.start(in_a_container, root=str(root), own_proc=own_proc)
    message = child.receive()
    require("refused" not in message, f"a pid namespace: {message.get('refused')}")
    assert message["pid"] == 1
    return child


@pytest.mark.parametrize("own_proc", [True, False])
def test_live_holder_in_another_container_keeps_its_lock__failure_3_6(
    own_proc: bool, nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    holder = container(nursery, tmp_path, require)
    other = container(nursery, tmp_path, require, own_proc=own_proc)
    assert "token" in holder.ask(agent="holder", ttl_s=3600)

    for agent in ("other", "holder"):  # by the same name and the same pid, too
        assert other.ask(agent=agent, ttl_s=3600) == {"refusal": "lock-held"}


def test_dead_holder_in_another_container_is_unknowable_until_it_expires__failure_3_6(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    other = container(nursery, tmp_path, require)
    here = nursery.start(outside, root=str(tmp_path))
    here.receive()
    holder = container(nursery, tmp_path, require)
    holder.ask(agent="holder", ttl_s=3600)
    holder.close()

    refusals = [child.ask(agent="late", ttl_s=3600) for child in (other, here)]

    assert refusals == [{"refusal": "lock-held"}, {"refusal": "lock-held"}]
    break_lock(Latchboard(tmp_path, publishes=False).locks, "src/a.py", by="operator", reason="a test")
    ttl_s = 1.5
    holder = container(nursery, tmp_path, require)
    locked_at = time.monotonic()
    token = holder.ask(agent="holder", ttl_s=ttl_s)["token"]
    holder.close()
    granted = other.ask(agent="late", ttl_s=3600, wait_s_max=60)
    assert granted["token"] > token
    assert time.monotonic() - locked_at >= ttl_s


def test_holder_outside_is_not_judged_from_inside__failure_3_5(nursery: Nursery, tmp_path: Path, require: Any) -> None:
    here = nursery.start(outside, root=str(tmp_path))
    here.receive()
    inside = container(nursery, tmp_path, require)
    assert "token" in here.ask(agent="holder", ttl_s=3600)

    assert inside.ask(agent="other", ttl_s=3600) == {"refusal": "lock-held"}

    here.kill()
    here.wait()
    assert inside.ask(agent="other", ttl_s=3600) == {"refusal": "lock-held"}
    outsider = nursery.start(outside, root=str(tmp_path))
    outsider.receive()
    assert "token" in outsider.ask(agent="other", ttl_s=3600)
