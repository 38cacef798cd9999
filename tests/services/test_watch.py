from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import Compacted, UsageError
from latchboard.settings import Settings
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock
from latchboard.watch import Stream
from tests.rules.test_watch import holding, lock, waiter

Where = tuple[Any, Stream, ManualClock]


@pytest.fixture(params=["memory", "files"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    clock = ManualClock()
    is_memory = request.param == "memory"
    store: Any = MemoryStore(clock=clock) if is_memory else FileStore(str(tmp_path), clock=clock)
    return store, Stream(store, clock, Settings()), clock


def put(store: Any, who: str = "a", **values: Any) -> int:
    """One commit; `__` in a name is a slash, None deletes, a function is called with the revision."""

    def decide(view: Any) -> None:
        for name, given in values.items():
            key, value = name.replace("__", "/"), given(view.revision) if callable(given) else given
            view.delete(key) if value is None else view.put(key, value)

    revision: int = store.transact(decide, who=who).revision
    return revision


def test_from_now_on_means_from_the_moment_of_the_call(where: Where) -> None:
    store, stream, _ = where
    put(store, agents__a={"n": 1})

    with stream.changes(timeout_s=0) as changes:
        revision = put(store, agents__a={"n": 2})
        found = list(changes)

    assert [(c.key, c.value, c.revision, c.who) for c in found] == [("agents/a", {"n": 2}, revision, "a")]
    assert changes.revision == revision


def test_from_the_oldest_change_kept_and_from_a_revision(where: Where) -> None:
    store, stream, _ = where
    first = put(store, agents__a={"n": 1})
    second = put(store, agents__a={"n": 2})

    assert [c.revision for c in stream.changes(after=0, timeout_s=0)] == [first, second]
    assert [c.revision for c in stream.changes(after=first, timeout_s=0)] == [second]
    assert list(stream.changes(after=second, timeout_s=0)) == []


def test_a_prefix_leaves_others_out_and_the_place_moves_on_all_the_same(where: Where) -> None:
    store, stream, _ = where
    put(store, locks__x={"n": 1})
    last = put(store, agents__a={"n": 1}, messages__b__m={"n": 2})

    changes = stream.changes("locks/", after=0, timeout_s=0)

    assert [c.key for c in changes] == ["locks/x"]
    assert changes.revision == last


def test_the_place_is_the_last_commit_that_was_given_out_whole(where: Where) -> None:
    store, stream, _ = where
    first = put(store, agents__a={"n": 1})
    put(store, agents__a={"n": 2}, agents__b={"n": 2})
    changes = stream.changes(after=0, timeout_s=0)

    seen = [next(changes), next(changes)]
    again = [c.key for c in stream.changes(after=changes.revision, timeout_s=0)]

    assert (len(seen), changes.revision) == (2, first)
    assert again == ["agents/a", "agents/b"]


def test_the_time_out_is_counted_from_the_last_change_and_nothing_is_asked_of_a_real_clock(where: Where) -> None:
    store, stream, clock = where
    put(store, agents__a={"n": 1})
    changes = stream.changes(after=0, timeout_s=7)

    assert next(changes).key == "agents/a"
    started = clock.now().mono_s
    assert list(changes) == []
    assert 7 <= clock.now().mono_s - started <= 8.1


def test_an_iterator_that_ended_goes_on_when_there_is_more(where: Where) -> None:
    store, stream, _ = where
    changes = stream.changes(timeout_s=0)
    assert list(changes) == []

    put(store, agents__a={"n": 1})

    assert [c.key for c in changes] == ["agents/a"]


def test_a_revision_that_is_not_one_is_refused(where: Where) -> None:
    _, stream, _ = where

    for bad in (-1, True, "7", 1.5):
        with pytest.raises(UsageError):
            stream.changes(after=bad)  # type: ignore[arg-type]


def test_resumed_over_every_rotation_nothing_is_missing_and_nothing_comes_twice(tmp_path: Path) -> None:
    clock, small = ManualClock(), Settings(journal_bytes_max=2000, journals_kept_count=50)
    store = FileStore(str(tmp_path), clock=clock, settings=small)
    stream = Stream(store, clock, small)
    written, seen, place = [], [], 0

    for number in range(200):
        written.append(put(store, agents__a={"n": number}, agents__b={"n": number}))
        if number % 7 == 0:
            with stream.changes(after=place, timeout_s=0) as changes:
                seen += [(c.revision, c.key) for c in changes]
                place = changes.revision
    with stream.changes(after=place, timeout_s=0) as changes:
        seen += [(c.revision, c.key) for c in changes]

    assert len(list((tmp_path / "data/.agent_locks/journal").glob("*.jsonl"))) > 5
    assert seen == [(revision, key) for revision in written for key in ("agents/a", "agents/b")]


def test_who_fell_behind_what_is_kept_is_told_and_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    clock, small = ManualClock(), Settings(journal_bytes_max=1000, journals_kept_count=2)
    store = FileStore(str(tmp_path), clock=clock, settings=small)
    stream = Stream(store, clock, small)
    first = put(store, agents__a={"n": 0})
    waiting = stream.changes(after=first, timeout_s=0)

    for number in range(100):
        put(store, agents__a={"n": number})

    with pytest.raises(Compacted) as error:
        list(stream.changes(after=first, timeout_s=0))
    with pytest.raises(Compacted):
        list(waiting)
    assert "snapshot" in error.value.hint
    assert list(stream.changes(after=store.read("agents/a").revision, timeout_s=0)) == []


# -- events


def test_events_know_what_was_held_before_the_call(where: Where) -> None:
    store, stream, _ = where
    put(store, locks__x=lock("x", holding("a", 1)))

    with stream.events("lock.", timeout_s=0) as events:
        put(store, locks__x=None)
        found = list(events)

    assert [(e["event"], e["agent"], e["token"]) for e in found] == [("lock.released", "a", 1)]


def test_events_after_a_revision_know_what_has_not_changed_since(where: Where) -> None:
    store, stream, _ = where
    place = put(store, locks__x=lock("x", holding("a", 1)), locks__y=lock("y", holding("a", 1)))
    put(store, locks__x=None)

    events = stream.events("lock.", after=place, timeout_s=0)
    early = list(events)
    put(store, locks__y=None)
    late = list(events)

    # Who held x at that place is not known any more: who gave it back is.
    assert [(e["event"], e["name"], e["agent"], e["token"]) for e in early] == [("lock.released", "x", "a", None)]
    assert [(e["event"], e["name"], e["agent"]) for e in late] == [("lock.released", "y", "a")]


def test_an_event_prefix_leaves_others_out(where: Where) -> None:
    store, stream, _ = where
    put(
        store,
        locks__x=lambda revision: lock("x", holding("a", revision)),
        **{"waiters__b.9": lambda revision: waiter("b.9", seq=revision)},
    )

    assert [e["event"] for e in stream.events("lock.waiting", after=0, timeout_s=0)] == ["lock.waiting"]
    assert [e["event"] for e in stream.events(after=0, timeout_s=0)] == ["lock.acquired", "lock.waiting"]


def test_commits_come_with_what_they_mean_and_also_those_that_mean_nothing(where: Where) -> None:
    store, stream, _ = where
    put(store, leases__x={"n": 1})

    with stream.commits(timeout_s=0) as commits:
        first = put(store, leases__x={"n": 2})
        second = put(store, "b", locks__x=lambda revision: lock("x", holding("b", revision)), leases__x={"n": 3})
        found = list(commits)

        assert [(one["revision"], one["who"]) for one in found] == [(first, "a"), (second, "b")]
        assert [[event["event"] for event in one["events"]] for one in found] == [[], ["lock.acquired"]]
        assert all(event["at"] == one["at"] for one in found for event in one["events"])
        assert commits.revision == second
        third = put(store, "b", locks__x=None)
        assert [(one["revision"], one["events"][0]["event"]) for one in commits] == [(third, "lock.released")]
        assert commits.fileno() >= 0
    assert [one["revision"] for one in stream.commits(after=first, timeout_s=0)] == [second, third]
