"""Snapshots: one revision, in the order of keys, and reading changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latchboard.errors import UsageError
from latchboard.testing.suite.kit import Backend, delete, put, pytest, value_of

if TYPE_CHECKING:
    from latchboard.store.port import Entries, Store, View
    from latchboard.testing.suite.kit import Pairs


class Snapshots(Backend):
    """Promise 3 of the port."""

    def test_empty_store_has_nothing(self, store: Store) -> None:
        snapshot = store.read("agents/", "wide")

        assert snapshot.revision == 0
        assert snapshot.scan("agents/") == []
        assert snapshot.get("wide") is None

    def test_snapshot_is_of_the_last_revision(self, store: Store, other: Store) -> None:
        put(store, "agents/a", {})
        last = put(store, "wide", {"names": ["src/"]})

        assert other.read("agents/").revision == other.read("wide").revision == other.read().revision == last

    def test_snapshot_stays_what_it_was(self, store: Store, other: Store) -> None:
        put(store, "agents/a", {"n": 1})
        one, many = other.read("agents/a"), other.read("agents/", "wide")

        put(store, "agents/a", {"n": 2})
        put(store, "agents/b", {"n": 3})
        put(store, "wide", {})

        assert one.get("agents/a") == {"n": 1}
        assert many.scan("agents/") == [("agents/a", {"n": 1})]
        assert many.get("agents/a") == {"n": 1}
        assert many.get("agents/b") is None
        assert many.get("wide") is None

    def test_snapshot_answers_only_for_what_was_asked(self, store: Store) -> None:
        put(store, "agents/a", {})
        snapshot = store.read("agents/a")

        for question in (lambda: snapshot.get("agents/b"), lambda: snapshot.scan("agents/")):
            with pytest.raises(UsageError):
                question()
        with pytest.raises(UsageError):
            store.read("agents/").get("wide")

    def test_scan_is_in_the_order_of_keys(self, store: Store, other: Store) -> None:
        names = ["b", "a", "B", "a/b", "a.b", "\u00e9", "z" * 200, "a b", "10", "9"]
        for name in names:
            put(store, f"locks/{name}", {"name": name})
        expected = sorted(f"locks/{name}" for name in names)

        assert [key for key, _ in other.read("locks/").scan("locks/")] == expected
        assert [key for key, _ in other.transact(lambda view: view.scan("locks/"), who="b").value] == expected

    def test_scan_of_a_part_of_a_collection(self, store: Store) -> None:
        for key in ("waiters/1.a", "waiters/1.b", "waiters/10", "waiters/2.a", "locks/src/a", "locks/src/b", "locks/s"):
            put(store, key, {})

        def keys(view: View, prefix: str) -> list[str]:
            return [key for key, _ in view.scan(prefix)]

        assert store.transact(lambda view: keys(view, "waiters/1."), who="a").value == ["waiters/1.a", "waiters/1.b"]
        assert store.transact(lambda view: keys(view, "locks/src/"), who="a").value == ["locks/src/a", "locks/src/b"]
        assert [key for key, _ in store.read("locks/src/").scan("locks/src/")] == ["locks/src/a", "locks/src/b"]

    def test_folder_of_one_owner_has_nothing_of_another(self, store: Store, other: Store) -> None:
        for owner in ("a", "a/b", "ab", "A"):
            put(store, f"messages/{owner}/1", {"to": owner})

        for owner in ("a", "a/b", "ab", "A"):
            expected = [(f"messages/{owner}/1", {"to": owner})]
            assert other.read(f"messages/{owner}/").scan(f"messages/{owner}/") == expected
            assert self._scan(other, f"messages/{owner}/") == expected
        assert len(other.read("messages/").scan("messages/")) == 4
        assert other.read("archive/").scan("archive/") == []

    def test_what_another_one_deleted_is_gone_for_who_reads_it_beside_its_empty_collection(
        self, store: Store, other: Store
    ) -> None:
        put(store, "locks/a", {"n": 1})
        delete(other, "locks/a")

        def look(view: View) -> tuple[Any, ...]:
            found = (view.get("locks/a"), view.scan("locks/"), view.get("locks/a"))
            view.put("agents/saw", {"it": found[0]})
            return found

        assert store.transact(look, who="a").value == (None, [], None)
        assert value_of(other, "agents/saw") == {"it": None}

    def test_key_may_end_with_a_slash(self, store: Store, other: Store) -> None:
        put(store, "locks/src/", {"n": 1})
        put(store, "locks/src/a", {"n": 2})

        assert value_of(other, "locks/src/") == {"n": 1}
        assert other.read("locks/src/").scan("locks/src/") == [("locks/src/", {"n": 1}), ("locks/src/a", {"n": 2})]

    def test_reading_changes_nothing(self, pairs: Pairs) -> None:
        store, other = pairs.new()
        if not self.leaves_traces:
            pytest.skip("not applicable: there is nothing to look at")
        empty = self.contents(pairs.place)
        self._look(other)
        assert self.contents(pairs.place) == empty

        for n in range(3):
            put(store, f"agents/{n}", {})
        delete(store, "agents/0")
        before = self.contents(pairs.place)
        self._look(other)
        self._look(store)
        store.transact(lambda view: view.scan("agents/"), who="a")

        assert self.contents(pairs.place) == before

    def _scan(self, store: Store, prefix: str) -> Entries:
        return store.transact(lambda view: view.scan(prefix), who="reader").value

    def _look(self, store: Store) -> None:
        store.read("agents/1")
        store.read("agents/", "messages/", "wide").scan("agents/")
        watch = store.watch("", after=0)
        watch.poll()
        watch.close()
