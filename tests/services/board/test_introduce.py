"""A name for a program that was given none: no two living processes go by the same one."""

from __future__ import annotations

import pytest

from latchboard.errors import UsageError
from tests.services.board.conftest import World

NAMES = ("calm-otter-0001", "calm-otter-0002")


def test_the_first_name_that_no_living_process_goes_by(world: World) -> None:
    first, second = world.process(), world.process()

    assert world.board(first).introduce(NAMES) == NAMES[0]
    assert world.board(second).introduce(NAMES) == NAMES[1]
    assert world.board(first).introduce(NAMES) == NAMES[0]
    assert [one["agent"] for one in world.board().agents()] == list(NAMES)


def test_who_is_started_again_goes_by_the_name_of_its_dead_predecessor(world: World) -> None:
    identity = world.host.spawn()
    world.board(world.host.as_process(identity)).introduce(NAMES)
    world.host.kill(identity)

    assert world.board(world.process()).introduce(NAMES) == NAMES[0]


def test_what_cannot_be_known_is_alive(world: World) -> None:
    world.board().update("calm-otter-0001", "here")
    entry = world.store.read("agents/calm-otter-0001").get("agents/calm-otter-0001")
    world.put_keys({"agents/calm-otter-0001": {**entry, "process": {**world.host.me(), "pid_ns": 4}}})  # type: ignore[dict-item]

    assert world.board(world.process()).introduce(NAMES) == NAMES[1]


def test_where_all_are_taken_nothing_is_changed(world: World) -> None:
    for name in NAMES:
        world.board(world.process()).introduce([name])
    before = world.store.read("wide").revision

    with pytest.raises(UsageError, match="taken by another living process"):
        world.board(world.process()).introduce(NAMES)
    with pytest.raises(UsageError, match="an agent id is"):
        world.board().introduce([" "])

    assert world.store.read("wide").revision == before
