"""What a command need not ask for, since whoever started it holds it."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import HoldLost, LockHeld
from latchboard.locks import Hold, lent
from tests.services.locks.scene import Process, Scene


def acquire(process: Process, *paths: str, token: int, agent: str = "a", shared: bool = False) -> Any:
    def take(rest: list[str]) -> Hold:
        hold: Hold = process.agent(agent).lock(*rest, shared=shared, bound="agent")
        return hold

    return lent.acquire(process.locks, list(paths), take, agent=agent, token=token, shared=shared)


def test_what_the_token_covers_is_lent_and_nothing_is_written(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("src/", "x.py")
    before = scene.everything()

    taken, names = acquire(scene.process(), "src/a.py", "x.py", token=hold.token)

    assert taken is None
    assert names == hold.tokens
    assert scene.everything() == before


def test_the_rest_is_taken_and_given_back_without_the_lenders(scene: Scene) -> None:
    parent, child = scene.process(), scene.process()
    hold = parent.agent("a").lock("x.py")

    taken, names = acquire(child, "x.py", "y.py", token=hold.token)

    assert (taken.names, names) == (["y.py"], hold.tokens)
    assert taken.release()
    assert child.locks.release_names("a", ["x.py"]) == []
    assert hold.is_live()


@pytest.mark.parametrize("which", ["token of another lock", "other agent", "shared", "over"])
def test_token_lets_nobody_through_anything_else(scene: Scene, which: str) -> None:
    parent, child = scene.process(), scene.process()
    token = parent.agent("a").lock("z.py").token
    hold = parent.agent("a").lock("x.py", shared=which == "shared", ttl_s=60)
    if which != "token of another lock":
        token = hold.token
    if which == "over":
        scene.clock.advance(61)
        scene.process().agent("c").lock("x.py")

    with pytest.raises(LockHeld):
        acquire(child, "x.py", token=token, agent="b" if which == "other agent" else "a")


def test_lender_that_lost_its_hold_meanwhile_is_told_and_nothing_stays(scene: Scene) -> None:
    parent, child = scene.process(), scene.process()
    hold = parent.agent("a").lock("x.py")

    def take(rest: list[str]) -> Hold:
        taken: Hold = child.agent("a").lock(*rest, bound="agent")
        hold.release()
        return taken

    with pytest.raises(HoldLost):
        lent.acquire(child.locks, ["x.py", "y.py"], take, agent="a", token=hold.token, shared=False)

    assert scene.is_empty()


def test_check_with_the_token_of_a_hold_is_not_in_its_way(scene: Scene) -> None:
    hold = scene.process().agent("a").lock("src/")
    locks = scene.process().locks

    assert locks.check(["src/a.py"], agent="a", token=hold.token) == []
    assert locks.check(["src/a.py"], agent="a")
    assert locks.check(["src/a.py"], agent="b", token=hold.token)
    assert locks.check(["src/a.py"], token=hold.token)
    assert locks.check(["./"], agent="a", token=hold.token)
