"""Pasts: what there was at an earlier revision, exactly, or `Compacted`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latchboard.errors import Compacted, UsageError
from latchboard.testing.suite.kit import Backend, delete, put, pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.store.port import Store, View
    from latchboard.testing.suite.kit import Pairs

    Known = dict[int, dict[str, dict[str, Any]]]

_ALL = ("agents/", "leases/", "locks/", "waiters/")


class Pasts(Backend):
    """The second half of promise 4 of the port."""

    def test_every_revision_is_read_as_it_was(self, store: Store, other: Store) -> None:
        known = _history(store, 60)

        for revision, records in known.items():
            assert _read(other, revision) == (revision, records)

    def test_every_revision_is_read_as_it_was_over_rotations(self, pairs: Pairs) -> None:
        store, other = pairs.new(journal_bytes_max=2000, journals_kept_count=100)
        known = _history(store, 120)

        for revision in reversed(known):
            assert _read(other, revision) == (revision, known[revision])

    def test_it_is_read_as_it_was_while_others_commit(self, store: Store, other: Store) -> None:
        for n in range(20):
            revision = put(store, "agents/a", {"n": n})
            assert _read(other, revision) == (revision, {"agents/a": {"n": n}})

    def test_between_two_commits_it_is_what_the_first_one_left(self, store: Store, other: Store) -> None:
        first = put(store, "agents/a", {"n": 1})
        second = put(store, "messages/a/1", {})
        third = put(store, "agents/a", {"n": 2})

        assert other.read("agents/", at=second).get("agents/a") == {"n": 1}
        for between in {first + 1, third - 1} - {second, third}:
            assert other.read(at=between).revision in (first, second)
            assert other.read("agents/", at=between).get("agents/a") == {"n": 1}

    def test_before_the_first_commit_there_was_nothing(self, store: Store, other: Store) -> None:
        assert _read(other, 0) == (0, {})
        put(store, "agents/a", {})
        put(store, "agents/b", {})

        assert _read(other, 0) == _read(other, 1) == (0, {})

    def test_traces_and_mail_are_no_records_of_then(self, store: Store) -> None:
        revision = put(store, "log/write", {"n": 1})
        put(store, "messages/a/1", {})

        assert _read(store, revision) == (revision, {})
        for name in ("messages/a/", "messages/a/1", "wide", "log/write"):
            with pytest.raises(UsageError):
                store.read(name, at=revision)

    @pytest.mark.parametrize("at", [-1, 1.5, "1", True, 2**70])
    def test_what_is_no_revision_yet_is_refused(self, store: Store, at: Any) -> None:
        newest = put(store, "agents/a", {})

        for wrong in (at, newest + 1):
            with pytest.raises(UsageError):
                store.read("agents/", at=wrong)

    def test_snapshot_of_the_past_answers_for_what_was_asked(self, store: Store) -> None:
        for key in ("locks/src/", "locks/src/a", "locks/s", "waiters/1.a", "waiters/10"):
            put(store, key, {"key_is": key})
        revision = put(store, "agents/a", {})
        for key in ("locks/src/", "waiters/1.a"):
            delete(store, key)

        then = store.read("locks/src/", "waiters/1.", "agents/a", at=revision)

        assert [key for key, _ in then.scan("locks/src/")] == ["locks/src/", "locks/src/a"]
        assert then.scan("waiters/1.") == [("waiters/1.a", {"key_is": "waiters/1.a"})]
        assert (then.get("agents/a"), then.get("locks/src/")) == ({}, {"key_is": "locks/src/"})
        unasked: list[Callable[[], object]] = [lambda: then.get("locks/s"), lambda: then.scan("locks/")]
        for question in unasked:
            with pytest.raises(UsageError):
                question()

    def test_what_is_read_belongs_to_the_reader(self, store: Store) -> None:
        revision = put(store, "agents/a", {"files": ["x"]})
        put(store, "agents/a", {"files": []})

        store.read("agents/", at=revision).scan("agents/")[0][1]["files"].append("y")

        assert store.read("agents/a", at=revision).get("agents/a") == {"files": ["x"]}

    def test_what_is_not_kept_any_more_is_said(self, pairs: Pairs) -> None:
        store, other = pairs.forgetful()
        known = _history(store, 1000)
        oldest = other.read(at=0).revision
        kept = [revision for revision in known if revision >= oldest]

        assert 0 < len(kept) < len(known)
        assert _read(other, 0) == (oldest, known[oldest])
        for revision in kept[:: max(1, len(kept) // 50)]:
            assert _read(other, revision) == (revision, known[revision])
        for revision in list(known)[: len(known) - len(kept) : 20]:
            with pytest.raises(Compacted) as caught:
                other.read(*_ALL, at=revision)
            assert (caught.value.fields["after"], caught.value.fields["oldest"]) == (revision, oldest)

    def test_from_the_oldest_on_a_watch_leads_to_the_present(self, pairs: Pairs) -> None:
        store, other = pairs.forgetful()
        _history(store, 1000)
        then = other.read(*_ALL, at=0)
        records = {key: value for prefix in _ALL for key, value in then.scan(prefix)}

        watch = other.watch("", after=then.revision)
        while changes := watch.poll():
            for change in changes:
                if change.value is None:
                    records.pop(change.key, None)
                elif change.key.startswith(_ALL):
                    records[change.key] = change.value
        watch.close()

        now = other.read(*_ALL)
        assert records == {key: value for prefix in _ALL for key, value in now.scan(prefix)}


def _history(store: Store, count: int) -> Known:
    """Some commits, and what there was after each."""
    known: Known = {}
    records: dict[str, dict[str, Any]] = {}
    for n in range(count):
        puts: dict[str, dict[str, Any]] = {f"locks/{n % 7}": {"n": n}, f"messages/a/{n}": {"n": n}}
        deletes = [f"locks/{(n + 3) % 7}", f"agents/{(n + 1) % 3}"]
        if n % 5 == 0:
            puts = {f"agents/{n % 3}": {"text": '\u00e9\n"' * (n % 4), "n": n}, "log/x": {}}
            deletes = []

        def fn(view: View, puts: Any = puts, deletes: Any = deletes) -> None:
            for key, value in puts.items():
                view.put(key, value)
            for key in deletes:
                view.delete(key)

        revision = store.transact(fn, who="writer").revision
        records.update({key: value for key, value in puts.items() if key.startswith(_ALL)})
        for key in deletes:
            records.pop(key, None)
        known[revision] = dict(records)
    return known


def _read(store: Store, at: int) -> tuple[int, dict[str, dict[str, Any]]]:
    then = store.read(*_ALL, at=at)
    return then.revision, {key: value for prefix in _ALL for key, value in then.scan(prefix)}
