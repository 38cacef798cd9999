"""A supervisor in another pid namespace, over one folder: not judged from outside, and nobody of it signalled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.errors import AlreadyRunning, CoordinationError
from tests.process import space
from tests.process.nursery import Channel, Nursery, until
from tests.process.supervising import Crew

pytestmark = pytest.mark.process


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with closing(Crew(tmp_path)) as made:
        yield made


def in_a_container(channel: Channel, root: str) -> None:
    """As number 1 of a pid namespace: do with the workers what one is told."""
    if not space.become_first(channel, own_proc=True):
        return
    try:
        board = Latchboard(root, publishes=False)
        channel.send(ready=True)
        while True:
            what = channel.receive(3600)["do"]
            try:
                report = board.agents.start() if what == "start" else board.agents.look()
                workers = [[one["pid"], one["state"]] for one in report.workers]
                channel.send(supervisor=report.supervisor, workers=workers)
            except CoordinationError as exc:
                channel.send(code=exc.code, message=exc.message)
    finally:
        os._exit(0)


@pytest.fixture
def container(crew: Crew, nursery: Nursery, require: Any) -> Any:
    crew.role("builder")
    child = nursery.start(in_a_container, root=crew.board.root)
    told = child.receive()
    require("refused" not in told, f"a pid namespace: {told.get('refused')}")
    return child


def test_workers_in_a_container_are_neither_judged_nor_ended_from_outside(crew: Crew, container: Any) -> None:
    inside = container.ask(do="start")
    assert inside["workers"][0][1] == "idle"
    wanted = (crew.registry / "agents.wanted").read_bytes()

    for act in (crew.agents.start, crew.agents.stop):
        with pytest.raises(AlreadyRunning, match="in another container"):
            act()

    assert crew.agents.look().supervisor is None and crew.ours() == []
    assert (crew.registry / "agents.wanted").read_bytes() == wanted
    assert container.ask(do="look") == inside


def test_a_container_that_is_gone_is_in_nobodys_way(crew: Crew, container: Any) -> None:
    container.ask(do="start")
    container.kill()
    container.wait()
    container.channel.close()

    def started() -> bool:
        try:
            return crew.agents.start().is_as_wanted
        except AlreadyRunning:  # the kernel is still ending what was in it
            return False

    until(started, "workers run outside")
