"""Watches and bells: every change once and in order, or `Compacted`; and whoever waits is woken."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from latchboard.errors import Compacted, StoreError
from latchboard.testing.suite.kit import NOTIFIED_WITHIN_S, Backend, delete, is_readable, put, pytest

if TYPE_CHECKING:
    from latchboard.store.port import Change, Store, View, Watch
    from latchboard.testing.suite.kit import Pairs


class Watches(Backend):
    """Promise 4 of the port."""

    def test_watch_tells_everything_about_a_change(self, store: Store, other: Store) -> None:
        watch = other.watch("agents/", after=0)

        put_at = put(store, "agents/a", {"n": 1})
        deleted_at = delete(store, "agents/a")

        changes = watch.poll()
        assert [(c.revision, c.who, c.key, c.value) for c in changes] == [
            (put_at, "writer", "agents/a", {"n": 1}),
            (deleted_at, "writer", "agents/a", None),
        ]
        assert all(len(change.at) == 27 and change.at.endswith("Z") for change in changes)
        assert watch.poll() == []
        watch.close()

    def test_watch_sees_each_commit_whole_and_in_order(self, store: Store, other: Store) -> None:
        watch = other.watch("", after=0)

        def fn(view: View) -> None:
            view.put("agents/b", {})
            view.put("agents/a", {})
            view.delete("agents/c")

        revisions = [store.transact(fn, who="a").revision for _ in range(3)]

        changes = watch.poll()
        assert [change.revision for change in changes] == [r for r in revisions for _ in range(3)]
        assert [change.key for change in changes[:3]] == ["agents/b", "agents/a", "agents/c"]
        watch.close()

    def test_watch_is_of_a_prefix(self, store: Store, other: Store) -> None:
        keys = ["agents/a", "agents/ab", "locks/agents/a", "wide"]
        watches = {prefix: other.watch(prefix, after=0) for prefix in ("", "agents/", "agents/a", "agents/ab", "wide")}

        for key in keys:
            put(store, key, {})

        for prefix, watch in watches.items():
            assert [change.key for change in watch.poll()] == [key for key in keys if key.startswith(prefix)]
            watch.close()

    def test_watch_goes_on_from_every_revision(self, store: Store, other: Store) -> None:
        revisions = [put((store, other)[n % 2], "agents/a", {"n": n}) for n in range(12)]

        for number, revision in enumerate(revisions):
            assert _ns(other, after=revision) == list(range(number + 1, 12))
        assert _ns(other, after=0) == list(range(12))

    def test_watch_goes_on_from_a_snapshot(self, store: Store, other: Store) -> None:
        before = other.read("agents/")
        put(store, "agents/a", {"n": 0})
        snapshot = other.read("agents/")
        put(store, "agents/a", {"n": 1})

        assert _ns(other, after=before.revision) == [0, 1]
        assert _ns(other, after=snapshot.revision) == [1]
        assert _ns(other, after=other.read("agents/").revision) == []

    def test_watch_beside_writers_misses_nothing__failure_3_29(self, pairs: Pairs) -> None:
        store, other = pairs.new(journal_bytes_max=2000, journals_kept_count=100, guard_wait_s_max=60.0)
        watch = other.watch("agents/", after=0)
        seen: list[Change] = []
        writers = [threading.Thread(target=_write, args=(one, 60)) for one in (store, other, store)]

        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            is_readable(watch, within_s=0.01)
            seen += watch.poll()
        seen += watch.poll()

        revisions = [change.revision for change in seen]
        assert len(seen) == 180
        assert revisions == sorted(set(revisions))
        watch.close()

    def test_watch_that_fell_behind_says_so(self, pairs: Pairs) -> None:
        store, other = pairs.forgetful()
        first = put(store, "agents/a", {"n": 0})
        watch = other.watch("agents/", after=first)
        _write(store, 1000)

        for late in (watch, other.watch("", after=first)):
            with pytest.raises(Compacted) as caught:
                _drain(late)
            assert caught.value.fields["after"] >= first
            assert caught.value.fields["oldest"] > first
            with pytest.raises(Compacted):
                late.poll()
            late.close()
        snapshot = other.read("agents/")
        put(store, "agents/a", {"n": "next"})
        assert _ns(other, after=snapshot.revision) == ["next"]
        assert _ns(other, after=0)[-1] == "next"

    def test_watch_after_what_was_never_given_says_so(self, store: Store, other: Store) -> None:
        last = [put(store, "agents/a", {"n": n}) for n in range(3)][-1]

        for after in (1, last + 1, last + 10**12):
            watch = other.watch("", after=after)
            with pytest.raises(Compacted) as caught:
                watch.poll()
            assert caught.value.fields["after"] == after
            watch.close()

    def test_watch_of_a_store_without_a_commit_waits_for_the_first(self, store: Store, other: Store) -> None:
        watch = other.watch("", after=0)
        assert watch.poll() == []

        put(store, "agents/a", {"n": 1})

        assert [change.key for change in watch.poll()] == ["agents/a"]
        watch.close()

    def test_watch_becomes_readable_after_a_commit(self, store: Store, other: Store) -> None:
        watch = other.watch("agents/", after=0)
        assert watch.mode in ("notify", "poll")
        if watch.mode == "poll":
            pytest.skip("this place gives no notification")

        for n in range(5):
            watch.poll()
            put(store, "agents/a", {"n": n})
            assert is_readable(watch, within_s=NOTIFIED_WITHIN_S)
            assert [change.value for change in _until_something(watch)] == [{"n": n}]
        watch.close()

    def test_watches_do_not_disturb_each_other(self, store: Store, other: Store) -> None:
        first, second = other.watch("", after=0), other.watch("", after=0)
        put(store, "agents/a", {"n": 1})

        assert len(first.poll()) == 1
        first.close()
        put(store, "agents/a", {"n": 2})

        assert len(_until_something(second)) == 2
        second.close()

    def test_closed_watch_says_so(self, store: Store) -> None:
        watch = store.watch("", after=0)

        watch.close()
        watch.close()

        with pytest.raises(StoreError):
            watch.poll()
        put(store, "agents/a", {})

    # -- bells --------------------------------------------------------------------------------------------------

    def test_bell_rings_when_its_key_is_put_or_deleted(self, store: Store, other: Store) -> None:
        bell = other.bell("waiters/r1")
        assert not is_readable(bell)

        for n in range(2):
            put(store, "waiters/r1", {}) if n == 0 else delete(store, "waiters/r1")
            assert is_readable(bell, within_s=NOTIFIED_WITHIN_S)
            bell.clear()
            assert not is_readable(bell)
        bell.close()

    def test_ring_before_the_wait_is_kept__failure_3_18(self, store: Store, other: Store) -> None:
        bell = other.bell("waiters/r1")

        put(store, "waiters/r1", {})
        put(store, "agents/a", {})

        assert is_readable(bell, within_s=NOTIFIED_WITHIN_S)
        assert is_readable(bell)
        bell.close()

    def test_bell_rings_for_its_own_key_alone__failure_3_21(self, store: Store, other: Store) -> None:
        keys = ["waiters/r1", "waiters/R1", "waiters/r1/x", "waiters/r2"]
        bells = {key: other.bell(key) for key in keys}

        put(store, "waiters/R1", {})

        assert is_readable(bells["waiters/R1"], within_s=NOTIFIED_WITHIN_S)
        assert [key for key in keys if is_readable(bells[key])] == ["waiters/R1"]
        for bell in bells.values():
            bell.close()

    def test_bell_does_not_ring_for_a_transaction_that_failed(self, store: Store, other: Store) -> None:
        bell = other.bell("waiters/r1")

        def fn(view: View) -> None:
            view.put("waiters/r1", {})
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            store.transact(fn, who="a")

        assert not is_readable(bell)
        bell.close()

    def test_closed_bell_disturbs_nobody(self, store: Store, other: Store) -> None:
        bell = other.bell("waiters/r1")
        bell.close()
        bell.close()

        put(store, "waiters/r1", {"n": 1})

        again = other.bell("waiters/r1")
        assert not is_readable(again)
        put(store, "waiters/r1", {"n": 2})
        assert is_readable(again, within_s=NOTIFIED_WITHIN_S)
        again.close()


def _write(store: Store, count: int) -> None:
    for n in range(count):
        put(store, "agents/a", {"n": n})


def _ns(store: Store, *, after: int) -> list[object]:
    watch = store.watch("agents/", after=after)
    try:
        return [(change.value or {}).get("n") for change in watch.poll()]
    finally:
        watch.close()


def _drain(watch: Watch) -> None:
    while True:
        assert watch.poll()


def _until_something(watch: Watch) -> list[Change]:
    """What a watch sees next: a notification may come before what it is about can be read."""
    while not (changes := watch.poll()):
        assert is_readable(watch, within_s=NOTIFIED_WITHIN_S)
    return changes
