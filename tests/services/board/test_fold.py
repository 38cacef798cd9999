from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.board.fold import BEHIND_MAX, Fold
from latchboard.errors import MalformedRecord
from latchboard.rules import board as rules
from tests.rules.test_board import histories, shown
from tests.rules.test_watch import NOW, entry, holding, lock, waiter
from tests.services.board.conftest import World


def fold(world: World, **options: Any) -> Fold:
    return Fold(world.store, world.clock, history_count=20, **options)


def events(state: rules.State) -> list[tuple[str, int]]:
    return [(e["event"], e["revision"]) for e in shown(state)["file_modification_history"]]


def test_it_starts_from_a_snapshot_and_the_journal(world: World) -> None:
    world.put(locks__x=lock("x", holding("a", 1)), agents__a=entry())
    released = world.put(locks__x=None)
    world.put(locks__y=lock("y", holding("a", 2)))

    state = fold(world).advance()

    assert list(state.known.locks) == ["y"]
    assert events(state) == [("lock.released", released)]
    assert state.revision == world.store.read("wide").revision


def test_it_goes_on_with_what_came_after(world: World) -> None:
    folded = fold(world)
    world.put(locks__x=lock("x", holding("a", 1)))
    first = folded.advance()
    released = world.put(locks__x=None)

    second = folded.advance()

    assert second is first
    assert (list(second.known.locks), events(second)) == ([], [("lock.released", released)])


def test_a_hint_saves_reading_what_came_before(world: World) -> None:
    place = world.put(locks__x=lock("x", holding("a", 1)), locks__y=lock("y", holding("a", 1)))
    released = world.put(locks__x=None)

    state = fold(world).advance(hint=place)

    assert list(state.known.locks) == ["y"]
    # Who had x before the first change that was read is not known; who gave it back is.
    assert events(state) == events(fold(world).advance()) == [("lock.released", released)]
    (told,) = shown(state)["file_modification_history"]
    assert (told["name"], told["agent"], told["token"], told["held_s"]) == ("x", "a", None, None)


@pytest.mark.parametrize("hint", [1, 12345, 10**18])
def test_a_hint_that_leads_nowhere_is_no_hint(world: World, hint: int) -> None:
    world.put(locks__x=lock("x", holding("a", 1)))
    released = world.put(locks__x=None)

    assert events(fold(world).advance(hint=hint)) == [("lock.released", released)]


def test_who_fell_behind_starts_again_and_says_so() -> None:
    world = World(commits_kept_count=5)
    folded = fold(world)
    world.put(locks__x=lock("x", holding("a", 1)))
    released = world.put(locks__x=None)
    folded.advance()
    for number in range(20):
        world.put(agents__a=entry(status=f"{number}"))
    world.put(locks__z=lock("z", holding("b", 2)))

    state = folded.advance()

    assert list(state.known.locks) == ["z"]
    assert events(state)[0] == ("lock.released", released)
    assert events(state)[1][0] == "gap"
    gone = world.put("b", locks__z=None)
    assert events(folded.advance())[2:] == [("lock.released", gone)]


def test_a_journal_that_forgot_everything_is_no_obstacle() -> None:
    world = World(commits_kept_count=1)
    for number in range(5):
        world.put(locks__x=lock("x", holding("a", number + 1)))

    assert list(fold(world).advance(hint=7).known.locks) == ["x"]


class Far:
    """A follower that says that a lot lies ahead."""

    def __init__(self, watch: Any) -> None:
        self.watch = watch
        self.far = 0
        self.polls_count = 0

    def behind(self) -> int:
        return self.far

    def poll(self) -> Any:
        self.polls_count += 1
        return self.watch.poll()

    def close(self) -> None:
        self.watch.close()


def test_what_lies_too_far_ahead_is_skipped_only_by_who_may(world: World) -> None:
    made: list[Far] = []

    def follow(after: int) -> Any:
        made.append(Far(world.store.watch("", after=after)))
        return made[-1]

    folded = fold(world, follow=follow)
    folded.advance()
    released = world.put(locks__x=lock("x", holding("a", 1))), world.put(locks__x=None)
    made[0].far = BEHIND_MAX + 1

    assert events(folded.advance()) == [("lock.released", released[1])]
    assert len(made) == 1
    world.put(locks__z=lock("z", holding("b", 2)))
    state = folded.advance(may_skip=True)
    assert (made[0].polls_count, len(made)) == (2, 2)
    assert list(state.known.locks) == ["z"]
    assert events(state)[1:] == [("gap", state.revision)]


def test_who_skips_takes_the_history_from_where_the_published_board_says(world: World) -> None:
    made: list[Far] = []

    def follow(after: int) -> Any:
        made.append(Far(world.store.watch("", after=after)))
        return made[-1]

    folded = fold(world, follow=follow)
    folded.advance()
    place = world.put(agents__a=entry())
    acquired = world.put(locks__x=lock("x", holding("a", 1)))
    released = world.put(locks__x=None)
    made[0].far = BEHIND_MAX + 1

    state = folded.advance(hint=place, may_skip=True)

    assert acquired < released == state.revision
    assert events(state) == [("lock.released", released)]
    made[-1].far = BEHIND_MAX + 1
    assert events(folded.advance(hint=place, may_skip=True))[1:] == [("gap", released)]


def test_a_start_that_may_skip_does_not_read_a_long_journal(world: World) -> None:
    world.put(locks__x=lock("x", holding("a", 1)))

    def follow(after: int) -> Any:
        far = Far(world.store.watch("", after=after))
        far.far = 0 if after else BEHIND_MAX + 1
        return far

    state = fold(world, follow=follow).advance(may_skip=True)

    assert (list(state.known.locks), events(state)) == (["x"], [("gap", state.revision)])


class Damaged:
    """A snapshot in which one record cannot be read, as long as there is a reason."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.reason = "half a record"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, *wanted: str) -> Any:
        snapshot: Any = self._store.read(*wanted)
        scan = snapshot.scan

        def damaged_scan(prefix: str, *, damaged: Any = None) -> Any:
            found = [pair for pair in scan(prefix) if not self.reason or pair[0] != "locks/x"]
            if prefix == "locks/" and self.reason:
                damaged.append(MalformedRecord("bad", key="x-123.lock", reason=self.reason))
            return found

        snapshot.scan = damaged_scan
        return snapshot


def test_a_record_that_cannot_be_read_is_shown_until_it_can(world: World) -> None:
    store: Any = Damaged(world)
    folded = Fold(store, world.clock, history_count=5)
    world.put(locks__x=lock("x", holding("a", 1)))

    assert folded.advance().known.damaged == {"x-123.lock": "half a record"}
    assert folded.advance().known.locks == {}

    store.reason = ""
    world.put(locks__x=lock("x", holding("a", 1)))
    assert folded.advance().known.damaged == {}


@settings(max_examples=40)
@given(histories(first=int(NOW.wall_s * 1e6)), st.data())
def test_however_it_is_cut_the_fold_says_what_a_new_one_says(changes: list[Any], data: st.DataObject) -> None:
    world = World()
    early = fold(world)
    for revision in sorted({change.revision for change in changes}):
        world.put_keys({c.key: c.value for c in changes if c.revision == revision})
        if data.draw(st.booleans()):
            early.advance()
    one, other = early.advance(), fold(world).advance()

    assert shown(one, 100) == shown(other, 100)
    hinted = fold(world).advance(hint=data.draw(st.sampled_from([one.revision, rules.history_from(one), 17])))
    for field in ("active_locks", "agents", "waiters", "damaged", "revision"):
        assert shown(hinted, 100)[field] == shown(one, 100)[field]


def test_the_watch_is_freed(world: World) -> None:
    folded = fold(world)
    folded.advance()

    folded.close()

    assert world.store._state.watches == set()
    world.put(**{"waiters__b.9": waiter("b.9")})
    assert list(folded.advance().known.waiters) == ["b.9"]
    folded.close()
