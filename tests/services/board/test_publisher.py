from __future__ import annotations

from typing import Any

import pytest

from latchboard.board.publisher import Publisher
from latchboard.errors import StoreFull
from latchboard.rules import board as rules
from latchboard.settings import Settings
from tests.rules.test_watch import entry
from tests.services.board.conftest import World

FOLD_S = Settings().board_fold_s


class Stepper:
    """A publisher whose thread is the test: `step` is called by hand, and the thread's pauses are the clock's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.board = world.board()
        self.made_count = 0
        self.publisher = Publisher(self._make, world.clock, world.settings)
        self.publisher._is_running = True
        self.store = self.publisher.noting(world.store)

    def _make(self) -> Any:
        self.made_count += 1
        return self.board

    def commit(self, number: int = 0) -> int:
        value = entry(status=f"{number}")
        return self.store.transact(lambda view: view.put("agents/a", value), who="a").revision

    def pass_s(self, s: float) -> None:
        """Let time pass, with the looks that the thread would take."""
        end = self.world.clock.now().mono_s + s
        while (now := self.world.clock.now().mono_s) < end:
            pause = self.publisher.step()
            self.world.clock.advance(min(pause or 1.0, end - now))

    @property
    def shown(self) -> int:
        return rules.read_head(self.world.page.data) or 0


@pytest.fixture
def stepper(world: World) -> Stepper:
    return Stepper(world)


def test_nothing_is_loaded_or_written_before_the_first_commit(stepper: Stepper) -> None:
    stepper.pass_s(3)

    assert (stepper.made_count, stepper.world.page.writes_count) == (0, 0)
    assert stepper.publisher.step() is None


def test_a_change_is_on_the_page_within_a_tenth_of_a_second(stepper: Stepper) -> None:
    revision = stepper.commit()

    stepper.pass_s(0.1)

    assert stepper.shown == revision


def test_a_burst_is_written_once_when_it_is_over(stepper: Stepper) -> None:
    for number in range(1000):
        stepper.commit(number)
        if number % 50 == 0:
            stepper.pass_s(0.02)
    writes = stepper.world.page.writes_count

    stepper.pass_s(0.1)

    assert (writes, stepper.world.page.writes_count) == (0, 1)


def test_a_burst_without_end_is_written_every_second(stepper: Stepper) -> None:
    for number in range(500):
        stepper.commit(number)
        stepper.pass_s(0.02)

    assert 8 <= stepper.world.page.writes_count <= 11


def test_of_many_that_are_busy_one_writes_for_all(world: World) -> None:
    steppers = [Stepper(world) for _ in range(4)]
    for number in range(500):
        for stepper in steppers:
            stepper.commit(number)
            stepper.publisher.step()
        world.clock.advance(0.02)
    busy_count = world.page.writes_count

    for _ in range(8):
        for stepper in steppers:
            stepper.publisher.step()
        world.clock.advance(0.025)

    assert 8 <= busy_count <= 14
    assert steppers[0].shown == world.store.read("wide").revision


def test_a_slow_board_takes_no_more_than_its_share_of_the_time(stepper: Stepper) -> None:
    world, board = stepper.world, stepper.board
    write = board.publish_if_older
    spent = []

    def slow(revision: int, *, wait_s_max: float) -> bool:
        world.clock.advance(0.5)
        spent.append(0.5)
        return write(revision, wait_s_max=wait_s_max)

    board.publish_if_older = slow  # type: ignore[method-assign]
    started = world.clock.now().mono_s
    for number in range(2000):
        stepper.commit(number)
        stepper.pass_s(0.05)

    assert len(spent) > 2
    assert sum(spent[:-1]) <= 0.05 * (world.clock.now().mono_s - started)


def test_who_finds_its_commit_on_the_page_has_nothing_to_write(stepper: Stepper) -> None:
    stepper.commit()
    stepper.world.board().publish()
    writes, data = stepper.world.page.writes_count, stepper.world.page.data

    stepper.pass_s(0.2)

    assert (stepper.world.page.writes_count, stepper.world.page.data) == (writes, data)
    assert stepper.board._fold.state is None
    assert stepper.publisher.step() is not None


@pytest.mark.parametrize("shown", [10**18, 0])
def test_a_page_that_says_it_is_from_the_future_is_written_anew(stepper: Stepper, shown: int) -> None:
    stepper.world.page.data = b'{"version":1,"revision":%d,\n' % shown
    revision = stepper.commit()

    stepper.pass_s(0.2)

    assert stepper.shown == revision


def test_while_somebody_else_writes_it_waits_for_its_turn(stepper: Stepper) -> None:
    stepper.world.page.is_taken = True
    revision = stepper.commit()
    stepper.pass_s(0.5)
    assert stepper.shown == 0

    stepper.world.page.is_taken = False
    stepper.pass_s(0.1)

    assert stepper.shown == revision


def test_it_does_not_wait_for_ever_for_somebody_who_was_stopped(stepper: Stepper) -> None:
    stepper.world.page.is_taken = True
    stepper.commit()

    stepper.pass_s(15)

    assert stepper.publisher.step() is None


def test_a_full_disk_is_remembered_and_tried_again(stepper: Stepper) -> None:
    replace = stepper.world.page.replace

    def full(*_: Any, **__: Any) -> bool:
        raise StoreFull("no space left")

    stepper.world.page.replace = full  # type: ignore[method-assign]
    revision = stepper.commit()
    stepper.pass_s(0.5)
    assert isinstance(stepper.publisher.error, StoreFull)

    stepper.world.page.replace = replace  # type: ignore[method-assign]
    stepper.pass_s(1.1)

    assert (stepper.publisher.error, stepper.shown) == (None, revision)


def test_when_everything_is_written_the_thread_has_an_end(stepper: Stepper) -> None:
    stepper.commit()

    stepper.pass_s(0.5)
    still_there = stepper.publisher.step()
    stepper.pass_s(1.5)

    assert still_there is not None
    assert stepper.publisher.step() is None


def test_closing_writes_what_is_not_written_yet(stepper: Stepper) -> None:
    stepper.publisher._is_running = False
    stepper.publisher._is_closed = True  # no thread: only `close` writes
    revision = stepper.commit()

    stepper.publisher.close()

    assert stepper.shown == revision


def test_closing_waits_for_its_turn(stepper: Stepper) -> None:
    stepper.publisher._is_running = False
    stepper.publisher._is_closed = True
    stepper.commit()
    waited: list[float] = []
    replace = stepper.world.page.replace

    def note(make: Any, *, wait_s_max: float) -> bool:
        waited.append(wait_s_max)
        return replace(make, wait_s_max=wait_s_max)

    stepper.world.page.replace = note  # type: ignore[method-assign]
    stepper.publisher.close()

    assert waited == [2.0]


def test_a_forked_child_has_nothing_to_write_before_its_own_first_commit(stepper: Stepper) -> None:
    stepper.commit()

    stepper.publisher.after_fork()

    assert stepper.publisher._is_running is False
    assert stepper.publisher.step() is not None
    assert stepper.world.page.writes_count == 0


def test_commits_of_the_noting_store_are_those_of_the_store(stepper: Stepper) -> None:
    done = stepper.store.transact(lambda view: view.put("agents/a", entry()) or "kept", who="a")  # type: ignore[func-returns-value]

    assert done.value == "kept"
    assert stepper.store.read("agents/a").get("agents/a") == entry()
    assert stepper.store.properties is stepper.world.store.properties
