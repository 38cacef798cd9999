"""A daemon in another pid namespace, over one folder: not judged from outside, not ended, in nobody's way when gone."""

from __future__ import annotations

import os
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import AlreadyRunning, CoordinationError
from tests.process import space
from tests.process.nursery import Channel, Nursery, until
from tests.process.serving import Project, ask, listens

pytestmark = pytest.mark.process


def in_a_container(channel: Channel, root: str) -> None:
    """As number 1 of a pid namespace: do with the daemon what one is told."""
    if not space.become_first(channel, own_proc=True):
        return
    try:
        board = Latchboard(root, publishes=False)
        channel.send(ready=True)
        while True:
            what = channel.receive(3600)["do"]
            try:
                if what == "start":
                    running = board.daemon.ensure_running()
                    channel.send(pid=running.state.pid, port=running.state.port, how=running.how)
                else:
                    channel.send(swept=board.daemon.sweep().to_json(), condition=board.daemon.look().condition)
            except CoordinationError as exc:
                channel.send(code=exc.code, message=exc.message)
    finally:
        os._exit(0)


@pytest.fixture
def container(project: Project, nursery: Nursery, require: Any) -> Any:
    child = nursery.start(in_a_container, root=project.board.root)
    told = child.receive()
    require("refused" not in told, f"a pid namespace: {told.get('refused')}")
    return child


def test_one_in_a_container_is_neither_judged_nor_ended_from_outside(project: Project, container: Any) -> None:
    inside = container.ask(do="start")
    assert inside["how"] == "started"

    assert project.daemon.look().condition == "elsewhere"
    with pytest.raises(AlreadyRunning, match="in another container"):
        project.daemon.ensure_running()
    assert project.daemon.stop().to_json()["why"] == "elsewhere"
    assert project.daemon.sweep().swept == []

    assert ask(inside["port"])["pid"] == inside["pid"]
    assert container.ask(do="start")["how"] == "running"
    assert project.record.exists(), "a record that cannot be judged is left"


def test_one_outside_is_neither_judged_nor_ended_from_a_container(project: Project, container: Any) -> None:
    state = project.daemon.ensure_running().state

    told = container.ask(do="start")
    looked = container.ask(do="sweep")

    assert told["code"] == "already-running", told
    assert looked["condition"] == "elsewhere"
    assert looked["swept"]["swept"] == looked["swept"]["failed"] == []
    assert project.daemon.ensure_running().state == state


def test_when_its_container_is_gone_the_next_one_starts_at_once(project: Project, container: Any) -> None:
    inside = container.ask(do="start")
    container.kill()
    container.wait()
    container.channel.close()
    until(lambda: not listens(inside["port"]), "all of the namespace ends")

    running = project.daemon.ensure_running()

    assert running.how == "started"
    assert project.pids() == [running.state.pid]
