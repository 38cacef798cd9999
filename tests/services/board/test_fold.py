from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.board.fold import SPAN_BYTES, Fold
from latchboard.errors import Compacted, MalformedRecord, StoreUnavailable
from latchboard.rules import board as rules
from tests.rules.test_board import histories, shown
from tests.rules.test_watch import NOW, entry, holding, lock, waiter
from tests.services.board.conftest import World
from tests.services.engine import looks_inside, needs_large_commits


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


class Tail:
    """The end of the journal of a memory store, with distances that the test says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.back = 0
        self.far = 0
        self.follows_count = 0

    def follow(self, after: int) -> Any:
        self.follows_count += 1
        watch: Any = self.world.store.watch("", after=after)
        watch.behind = lambda: self.far
        return watch

    def place_back(self, span_bytes: int) -> int:
        return self.back

    def behind_gap(self) -> int:
        return 0


def test_a_start_reads_the_end_of_the_journal_alone(world: World) -> None:
    tail = Tail(world)
    world.put(agents__a=entry())
    tail.back = world.put(locks__x=lock("x", holding("a", 1)), locks__y=lock("y", holding("a", 1)))
    released = world.put(locks__x=None)

    state = fold(world, journal=tail).advance()

    assert list(state.known.locks) == ["y"]
    # Who had x before the first change that was read is not known; who gave it back is.
    assert events(state) == events(fold(world).advance()) == [("lock.released", released)]
    (told,) = shown(state)["file_modification_history"]
    assert (told["name"], told["agent"], told["token"], told["held_s"]) == ("x", "a", None, None)


def test_who_is_too_far_behind_starts_anew(world: World) -> None:
    tail = Tail(world)
    folded = fold(world, journal=tail)
    first = folded.advance()
    tail.back = world.put(locks__z=lock("z", holding("b", 2)))
    released = world.put("b", locks__z=None)
    tail.far = SPAN_BYTES + 1

    state = folded.advance()

    assert (state is first, tail.follows_count) == (False, 2)
    assert events(state) == [("lock.released", released)]


@needs_large_commits
def test_with_many_locks_a_new_start_costs_more_and_is_put_off(world: World) -> None:
    tail = Tail(world)
    folded = fold(world, journal=tail)
    world.put_keys({f"locks/{n}": lock(f"{n}", holding("a", 1)) for n in range(1000)})
    first = folded.advance()

    tail.far = SPAN_BYTES + 1_000_000
    assert folded.advance() is first
    tail.far = SPAN_BYTES + 3_000_000
    assert folded.advance() is not first


def test_what_was_rotated_away_is_no_obstacle() -> None:
    world = World(commits_kept_count=5)
    folded = fold(world)
    world.put(locks__x=lock("x", holding("a", 1)))
    folded.advance()
    for number in range(20):
        world.put(agents__a=entry(status=f"{number}"))
    world.put(locks__z=lock("z", holding("b", 2)))

    assert sorted(folded.advance().known.locks) == ["x", "z"]
    gone = world.put("b", locks__z=None)
    assert events(folded.advance()) == [("lock.released", gone)]


def test_a_journal_that_never_has_the_place_is_no_obstacle(world: World) -> None:
    tail = Tail(world)
    tail.back = 17
    world.put(locks__x=lock("x", holding("a", 1)))
    folded = fold(world, journal=tail)

    state = folded.advance()

    assert (list(state.known.locks), events(state)) == (["x"], [])
    assert (state.revision, state.at) == (world.store.read("wide").revision, "2026-11-21T01:40:00.000000Z")
    released = world.put(locks__x=None)
    assert events(folded.advance()) == [("lock.released", released)]


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


@looks_inside  # the tokens in it are revisions as memory counts them
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
    tail = Tail(world)
    tail.back = data.draw(st.sampled_from([0, one.revision, 17, *{change.revision for change in changes}]))
    late = fold(world, journal=tail).advance()
    for field in ("active_locks", "agents", "waiters", "damaged", "revision"):
        assert shown(late, 100)[field] == shown(one, 100)[field]


@looks_inside
def test_the_watch_is_freed(world: World) -> None:
    folded = fold(world)
    folded.advance()

    folded.close()

    assert world.store._state.watches == set()
    world.put(**{"waiters__b.9": waiter("b.9")})
    assert list(folded.advance().known.waiters) == ["b.9"]
    folded.close()


@looks_inside
def test_a_start_that_fails_leaves_no_watch(world: World) -> None:
    store: Any = Damaged(world)
    world.put(locks__x=lock("x", holding("a", 1)))
    folded = Fold(store, world.clock, history_count=5)
    store.read = refused

    with pytest.raises(StoreUnavailable):
        folded.advance()

    assert world.store._state.watches == set()


def refused(*_wanted: str) -> Any:
    raise StoreUnavailable("the disk is away")


class Rotated:
    """A store whose oldest journal is dropped while somebody reads it for the first time."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.is_dropped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def watch(self, prefix: str, *, after: int) -> Any:
        watch: Any = self._store.watch(prefix, after=after)
        poll = watch.poll

        def dropped() -> Any:
            found = poll()
            if found or self.is_dropped:
                return found
            self.is_dropped = True
            raise Compacted("dropped", after=0, oldest=0)

        watch.poll = dropped
        return watch


def test_what_was_told_before_a_journal_was_dropped_is_not_told_twice(world: World) -> None:
    store: Any = Rotated(world)
    for _ in range(3):
        world.put(locks__x=lock("x", holding("a", 1)))
        world.put(locks__x=None)
    board = world.board()
    board.store = store

    assert board.history() == world.board().history() != []
    assert store.is_dropped
