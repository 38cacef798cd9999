"""Commits: all or nothing, one order, and an exception changes nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from latchboard.clock import iso
from latchboard.errors import UsageError
from latchboard.testing.suite.kit import Backend, delete, fails, put, pytest, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.store.port import Store, View
    from latchboard.testing.clock import ManualClock
    from latchboard.testing.suite.kit import Pairs

THREADS = 8
ROUNDS = 25


class Commits(Backend):
    """Promises 1 and 2 of the port."""

    def test_what_one_store_commits_the_other_reads(self, store: Store, other: Store) -> None:
        done = store.transact(lambda view: view.put("agents/a", {"n": 1}), who="a")

        assert done.value is None
        assert value_of(other, "agents/a") == {"n": 1}
        assert other.read("agents/a").revision == done.revision

    def test_value_of_the_function_is_handed_on(self, store: Store) -> None:
        assert store.transact(lambda view: ("any", 1), who="a").value == ("any", 1)

    def test_transaction_sees_its_own_changes(self, store: Store) -> None:
        put(store, "agents/a", {"n": 1})
        put(store, "agents/b", {"n": 2})

        def fn(view: View) -> None:
            view.put("agents/c", {"n": 3})
            view.delete("agents/a")
            view.put("agents/b", {"n": 4})
            assert [view.get(f"agents/{name}") for name in "abc"] == [None, {"n": 4}, {"n": 3}]
            assert view.scan("agents/") == [("agents/b", {"n": 4}), ("agents/c", {"n": 3})]

        store.transact(fn, who="a")

        assert store.read("agents/").scan("agents/") == [("agents/b", {"n": 4}), ("agents/c", {"n": 3})]

    def test_last_change_of_a_key_counts(self, store: Store, other: Store) -> None:
        def put_and_delete(view: View) -> None:
            view.put("agents/a", {})
            view.delete("agents/a")

        def delete_and_put(view: View) -> None:
            view.delete("agents/b")
            view.put("agents/b", {"n": 2})

        store.transact(put_and_delete, who="a")
        store.transact(delete_and_put, who="a")

        assert other.read("agents/").scan("agents/") == [("agents/b", {"n": 2})]

    def test_replacing_and_deleting_by_turns(self, store: Store, other: Store) -> None:
        for n in range(6):
            put((store, other)[n % 2], "agents/a", {"n": n})
            assert value_of((other, store)[n % 2], "agents/a") == {"n": n}
        delete(other, "agents/a")

        assert value_of(store, "agents/a") is None

    def test_deleting_what_is_not_there_is_no_error(self, store: Store) -> None:
        delete(store, "agents/a")

        assert value_of(store, "agents/a") is None

    def test_durable_commit_is_a_commit(self, store: Store, other: Store) -> None:
        revision = put(store, "agents/a", {"n": 1}, durable=True)

        assert other.read("agents/a").revision == revision
        assert value_of(other, "agents/a") == {"n": 1}

    # -- revisions ----------------------------------------------------------------------------------------------

    def test_revisions_grow_with_every_commit_of_either_store(self, store: Store, other: Store) -> None:
        revisions = [put((store, other)[n % 2], "agents/a", {"n": n}) for n in range(10)]

        assert revisions == sorted(set(revisions))
        assert revisions[0] > 0

    def test_revision_inside_a_transaction_is_the_one_committed(self, store: Store) -> None:
        done = store.transact(lambda view: view.put("agents/a", {"token": view.revision}), who="a")

        assert value_of(store, "agents/a") == {"token": done.revision}

    def test_instant_inside_a_transaction_is_the_one_committed(
        self, store: Store, other: Store, clock: ManualClock
    ) -> None:
        def fn(view: View) -> None:
            before = view.now
            clock.advance(5)  # a slow one
            assert (view.now.wall_s, view.now.mono_s, view.now.boot) == (before.wall_s, before.mono_s, before.boot)
            view.put("agents/a", {"at": iso(view.now.wall_s)})

        watch = other.watch("agents/", after=0)
        store.transact(fn, who="a")

        (change,) = watch.poll()
        watch.close()
        assert change.value == {"at": change.at}

    def test_revision_of_a_new_store_is_zero(self, store: Store) -> None:
        assert store.read("agents/a").revision == 0

    def test_revisions_do_not_come_back_when_the_wall_clock_is_set_back(self, store: Store, clock: ManualClock) -> None:
        before = put(store, "agents/a", {})
        clock.jump_wall(-86400)

        assert put(store, "agents/a", {}) > before

    def test_revisions_grow_on_over_a_restart(self, pairs: Pairs) -> None:
        store, _ = pairs.new()
        if not store.properties.survives_restart:
            pytest.skip("not applicable: the state ends with the process")
        before = put(store, "agents/a", {"n": 1})
        pairs.close()

        again, _ = pairs.again()

        assert again.read("agents/a").revision == before
        assert value_of(again, "agents/a") == {"n": 1}
        assert put(again, "agents/a", {"n": 2}) > before

    # -- nothing happened ---------------------------------------------------------------------------------------

    def test_transaction_that_changes_nothing_is_no_commit(self, store: Store, other: Store) -> None:
        before = put(store, "agents/a", {})
        watch = other.watch("", after=before)

        assert store.transact(lambda view: view.get("agents/a"), who="a").revision == before
        assert watch.poll() == []
        watch.close()

    @pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
    def test_exception_in_the_function_commits_nothing(
        self, store: Store, other: Store, error: type[BaseException]
    ) -> None:
        put(store, "agents/a", {"n": 1})

        def fn(view: View) -> None:
            view.put("agents/a", {"n": 2})
            view.put("agents/b", {})
            raise error("no")

        assert type(fails(store, fn, error)) is error
        assert other.read("agents/").scan("agents/") == [("agents/a", {"n": 1})]
        put(other, "agents/b", {})
        put(store, "agents/c", {})

    @pytest.mark.parametrize("what", ["transact", "read"])
    def test_transaction_inside_a_transaction_is_refused(self, store: Store, other: Store, what: str) -> None:
        def fn(view: View) -> None:
            view.put("agents/a", {"n": 1})
            with pytest.raises(UsageError):
                if what == "read":
                    store.read("agents/a")
                else:
                    store.transact(lambda inner: inner.put("agents/b", {}), who="a")

        store.transact(fn, who="a")

        assert other.read("agents/").scan("agents/") == [("agents/a", {"n": 1})]

    # -- effects ------------------------------------------------------------------------------------------------

    def test_effect_runs_once_after_the_function_and_before_the_commit(self, store: Store) -> None:
        steps: list[str] = []
        put(store, "agents/a", {"n": 1})

        def fn(view: View) -> None:
            steps.append("fn")
            view.put("agents/a", {"n": 2})

        store.transact(fn, who="a", effect=lambda: steps.append("effect"))

        assert steps[-1] == "effect"
        assert set(steps[:-1]) == {"fn"}  # a backend may run it again
        assert value_of(store, "agents/a") == {"n": 2}

    def test_effect_runs_before_anybody_else_can_commit(self, store: Store, other: Store) -> None:
        steps: list[str] = []

        def commit_too() -> None:
            put(other, "agents/b", {})
            steps.append("other")

        second = threading.Thread(target=commit_too)

        def effect() -> None:
            second.start()
            second.join(0.05)
            steps.append("effect")

        put(store, "agents/a", {}, effect=effect)
        second.join()

        assert steps == ["effect", "other"]

    def test_effect_of_a_transaction_that_puts_nothing_runs_too(self, store: Store) -> None:
        ran: list[int] = []

        store.transact(lambda view: None, who="a", effect=lambda: ran.append(1))

        assert ran == [1]

    def test_effect_does_not_run_when_the_function_raised(self, store: Store) -> None:
        ran: list[int] = []

        fails(store, _raise(ValueError("no")), ValueError, effect=lambda: ran.append(1))

        assert ran == []

    def test_effect_does_not_run_when_the_value_cannot_be_kept(self, store: Store) -> None:
        ran: list[int] = []

        fails(store, lambda view: view.put("agents/a", {"n": {1}}), UsageError, effect=lambda: ran.append(1))

        assert ran == []

    @pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(2, "gone", "x"), KeyboardInterrupt()])
    def test_exception_of_the_effect_commits_nothing_and_comes_out_as_it_is(
        self, store: Store, other: Store, error: BaseException
    ) -> None:
        put(store, "agents/a", {"n": 1})

        def fn(view: View) -> None:
            view.put("agents/a", {"n": 2})
            view.put("agents/b", {})

        caught = fails(store, fn, type(error), effect=_raise(error))

        assert caught is error
        assert other.read("agents/").scan("agents/") == [("agents/a", {"n": 1})]
        put(other, "agents/b", {})

    # -- threads ------------------------------------------------------------------------------------------------

    def test_threads_of_two_stores_lose_no_commit__failure_3_9(self, pair: tuple[Store, Store]) -> None:
        inside: list[int] = []
        overlaps: list[int] = []

        def add(view: View) -> None:
            inside.append(1)
            try:
                overlaps.extend(inside[1:])
                value = view.get("agents/count") or {"n": 0}
                view.put("agents/count", {"n": value["n"] + 1})
            finally:
                inside.pop()

        def run(number: int) -> None:
            for _ in range(ROUNDS):
                pair[number % 2].transact(add, who=f"a{number}")

        _in_threads(run)

        assert overlaps == [] or not pair[0].properties.runs_alone
        assert value_of(pair[0], "agents/count") == {"n": THREADS * ROUNDS}

    def test_snapshot_beside_writers_is_never_half_a_commit(self, pair: tuple[Store, Store]) -> None:
        store, other = pair
        stopped = threading.Event()
        seen: list[tuple[Any, Any]] = []

        def both(view: View) -> None:
            n = (view.get("agents/a") or {"n": 0})["n"] + 1
            view.put("agents/a", {"n": n})
            view.put("leases/b", {"n": n})

        def look() -> None:
            while not stopped.is_set():
                snapshot = other.read("agents/", "leases/b")
                entries = dict(snapshot.scan("agents/"))
                seen.append((entries.get("agents/a"), snapshot.get("leases/b")))

        reader = threading.Thread(target=look)
        reader.start()
        for _ in range(ROUNDS * 4):
            store.transact(both, who="a")
        stopped.set()
        reader.join()

        assert [pair for pair in seen if pair[0] != pair[1]] == []
        assert value_of(other, "leases/b") == {"n": ROUNDS * 4}


def _raise(error: BaseException) -> Callable[..., None]:
    def run(*_: Any) -> None:
        raise error

    return run


def _in_threads(run: Callable[[int], None]) -> None:
    failures: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def guarded(number: int) -> None:
        try:
            barrier.wait()
            run(number)
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
