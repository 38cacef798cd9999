"""Keys and values: kept as they are, or refused with nothing changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from latchboard.errors import MalformedRecord, UsageError
from latchboard.store.checks import KEY_BYTES_MAX
from latchboard.testing.suite.kit import (
    Backend,
    delete,
    fails,
    hypothesis,
    put,
    pytest,
    strategies,
    value_of,
)

if TYPE_CHECKING:
    from latchboard.store.port import Store, View
    from latchboard.testing.suite.kit import Pairs

COLLECTIONS = ("locks/", "agents/", "waiters/", "messages/a/", "messages/a/b/", "archive/A/", "odd.lock/", "../", "/")
LOOK_ALIKE = (
    ("locks/a/b_c", "locks/a_b/c"),
    ("locks/a__b", "locks/a/b"),
    ("locks/x.py", "locks/src/x.py"),
    ("locks/src", "locks/src/"),
    ("locks/a.py", "locks/A.py"),
    ("locks/\u00e9", "locks/e\u0301"),
    ("agents/a", "agents/A"),
    ("agents/a", "agents/a "),
    ("agents/a.json", "agents/a"),
    ("agents/a\n", "agents/a"),
    ("agents/.a", "agents/a"),
    ("agents/..", "agents/."),
    ("agents/a%b", "agents/a_b"),
    ("agents/" + "x" * 300, "agents/" + "x" * 301),
    ("locks/" + "x" * 300 + "/tail", "locks/" + "y" * 300 + "/tail"),
    ("messages/a/b", "messages/a_b"),
    ("messages/a/1", "archive/a/1"),
    ("messages/a/b/1", "messages/a__b/1"),
    ("wide", "wide/"),
    ("status_board", "status_board.json"),
)

_letters = strategies.characters(exclude_categories=["Cs"], exclude_characters="\0")
_names = strategies.one_of(
    strategies.text(_letters, max_size=12),
    strategies.text("aA_/.-% ", max_size=12),
    strategies.sampled_from(["x" * 4090, "\u00e9" * 2040, "../../up", "con", "a" * 101, "%" * 5, "guard", "FORMAT"]),
)
_keys = strategies.one_of(
    strategies.builds(lambda collection, name: collection + name, strategies.sampled_from(COLLECTIONS), _names),
    strategies.text(_letters, min_size=1, max_size=8),
).filter(lambda key: not key.startswith("log/"))
_json: Any = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**70), 2**70)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=4), inner),
    max_leaves=8,
).filter(lambda value: ascii(value).find("\\ud") < 0)
_field_names = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=8)
_values = strategies.dictionaries(_field_names.filter(lambda f: f not in ("key", "mod_revision")), _json, max_size=4)
_relaxed = hypothesis.settings(
    max_examples=40,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.differing_executors,
    ],
)


class Values(Backend):
    """What is put comes back: keys and values of every kind, traces, limits, damage."""

    @_relaxed
    @hypothesis.given(state=strategies.dictionaries(_keys, _values, max_size=6))
    def test_any_key_and_value_comes_back(self, pairs: Pairs, state: dict[str, dict[str, Any]]) -> None:
        store, other = pairs.new()

        store.transact(lambda view: _put_all(view, state), who="a")

        snapshot = other.read(*state)
        assert {key: snapshot.get(key) for key in state} == state
        assert other.transact(lambda view: {key: view.get(key) for key in state}, who="b").value == state
        for collection in sorted({key.partition("/")[0] + "/" for key in state if "/" in key}):
            expected = sorted((key, value) for key, value in state.items() if key.startswith(collection))
            assert other.read(collection).scan(collection) == expected
        for key in state:
            delete(other, key)
        assert [store.read(key).get(key) for key in state] == [None] * len(state)

    @pytest.mark.parametrize("keys", LOOK_ALIKE, ids=range(len(LOOK_ALIKE)))
    def test_keys_that_look_alike_are_two(self, store: Store, other: Store, keys: tuple[str, str]) -> None:
        put(store, keys[0], {"n": 1})
        put(store, keys[1], {"n": 2})
        assert [value_of(other, key) for key in keys] == [{"n": 1}, {"n": 2}]

        delete(store, keys[0])

        assert [value_of(other, key) for key in keys] == [None, {"n": 2}]

    def test_unknown_fields_are_kept(self, store: Store, other: Store) -> None:
        value = {"a": 1, "later": {"deep": [1, {"x": None}], "text": "\u00e9\u4e2d\U0001f600\n\0"}, "": 1.5e300}

        put(store, "agents/a", value)
        other.transact(lambda view: view.put("agents/a", {**(view.get("agents/a") or {}), "a": 2}), who="b")

        assert value_of(store, "agents/a") == {**value, "a": 2}

    def test_what_was_read_is_a_copy(self, store: Store, other: Store) -> None:
        value: dict[str, Any] = {"list": [1]}
        put(store, "agents/a", value)
        value["list"].append(2)

        read = value_of(store, "agents/a")
        assert read is not None
        read["list"].append(3)
        store.transact(lambda view: (view.get("agents/a") or {})["list"].append(4), who="a")

        assert value_of(store, "agents/a") == {"list": [1]} == value_of(other, "agents/a")

    @pytest.mark.parametrize("key", ["", "agents/\0", "agents/\ud800", "agents/" + "x" * KEY_BYTES_MAX])
    def test_key_that_cannot_be_kept_is_refused(self, store: Store, key: str) -> None:
        fails(store, lambda view: view.put(key, {}), UsageError)
        fails(store, lambda view: view.delete(key), UsageError)
        fails(store, lambda view: view.get(key), UsageError)
        with pytest.raises(UsageError):
            store.read(key)

    def test_key_at_the_limit_is_kept(self, store: Store, other: Store) -> None:
        key = "locks/" + "x" * (KEY_BYTES_MAX - 6)

        put(store, key, {"n": 1})

        assert other.read("locks/").scan("locks/") == [(key, {"n": 1})]

    @pytest.mark.parametrize(
        "value",
        [
            {"n": math.nan},
            {"n": math.inf},
            {"n": b"bytes"},
            {"n": {1, 2}},
            {"n": "\ud800"},
            {"\ud800": 1},
            {"key": "mine"},
            {"mod_revision": 1},
            [],
            "text",
            None,
        ],
        ids=repr,
    )
    def test_value_that_cannot_be_kept_is_refused(self, store: Store, other: Store, value: Any) -> None:
        def fn(view: View) -> None:
            view.put("agents/a", {"n": 1})
            view.put("agents/b", value)

        fails(store, fn, UsageError)
        assert other.read("agents/").scan("agents/") == []

    def test_value_without_an_end_is_refused(self, store: Store) -> None:
        endless: dict[str, Any] = {}
        endless["again"] = endless

        fails(store, lambda view: view.put("agents/a", endless), UsageError)

    def test_scan_of_what_is_no_collection_is_refused(self, store: Store) -> None:
        fails(store, lambda view: view.scan("agents"), UsageError)

    def test_name_of_an_agent_that_cannot_be_written_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError):
            store.transact(lambda view: view.put("agents/a", {}), who="\ud800")

        assert store.read("agents/a").revision == 0

    # -- limits -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("letter", ["x", "\u00e9"])
    def test_value_at_the_limit_is_kept_and_one_byte_more_is_refused(self, pairs: Pairs, letter: str) -> None:
        store, other = pairs.new(value_bytes_max=1000)
        text = (letter * 1000).encode()[: 1000 - len('{"a":""}')].decode(errors="ignore").rjust(1, " ")
        at_limit = {"a": text + "x" * (1000 - len('{"a":""}') - len(text.encode()))}

        put(store, "agents/a", at_limit)

        assert value_of(other, "agents/a") == at_limit
        fails(store, lambda view: view.put("agents/a", {"a": at_limit["a"] + "x"}), UsageError)

    def test_commit_at_the_limit_of_keys_is_taken_and_one_key_more_is_refused(self, store: Store) -> None:
        count = store.properties.transaction_keys_max

        store.transact(lambda view: _put_all(view, {f"log/{n}": {} for n in range(count)}), who="a")

        fails(store, lambda view: _put_all(view, {f"log/{n}": {} for n in range(count + 1)}), UsageError)

    # -- traces -------------------------------------------------------------------------------------------------

    def test_trace_is_seen_by_watchers_and_kept_nowhere_else(self, store: Store, other: Store) -> None:
        watch = other.watch("log/", after=0)

        put(store, "log/conflict", {"n": 1})
        put(store, "log/conflict", {"n": 2})

        assert [(change.key, change.value) for change in watch.poll()] == [
            ("log/conflict", {"n": 1}),
            ("log/conflict", {"n": 2}),
        ]
        assert value_of(store, "log/conflict") is None
        assert store.transact(lambda view: view.get("log/conflict"), who="a").value is None
        assert store.read("log/").scan("log/") == []
        watch.close()

    def test_trace_cannot_be_deleted(self, store: Store) -> None:
        fails(store, lambda view: view.delete("log/conflict"), UsageError)

    # -- damage -------------------------------------------------------------------------------------------------

    def test_damaged_record_is_never_absent__failure_3_14(self, pairs: Pairs) -> None:
        store, other = pairs.new()
        if not self.can_be_damaged:
            pytest.skip("not applicable: nothing outside the process can damage it")
        put(store, "locks/a", {"n": 1})
        put(store, "locks/b", {"n": 2})
        self.damage(pairs.place, "locks/a")

        for read in (lambda: other.read("locks/a").get("locks/a"), lambda: other.read("locks/").scan("locks/")):
            with pytest.raises(MalformedRecord):
                read()
        with pytest.raises(MalformedRecord):
            other.read("locks/").get("locks/a")
        fails(other, lambda view: view.get("locks/a"), MalformedRecord)
        fails(other, lambda view: view.scan("locks/"), MalformedRecord)
        assert value_of(other, "locks/b") == {"n": 2}

    def test_damaged_records_can_be_listed_and_replaced(self, pairs: Pairs) -> None:
        store, other = pairs.new()
        if not self.can_be_damaged:
            pytest.skip("not applicable: nothing outside the process can damage it")
        put(store, "locks/a", {"n": 1})
        put(store, "locks/b", {"n": 2})
        self.damage(pairs.place, "locks/a")
        damaged: list[MalformedRecord] = []
        seen: list[MalformedRecord] = []

        assert other.read("locks/").scan("locks/", damaged=damaged) == [("locks/b", {"n": 2})]
        assert other.transact(lambda view: view.scan("locks/", damaged=seen), who="b").value == [("locks/b", {"n": 2})]
        assert len(damaged) == len(seen) == 1
        put(other, "locks/a", {"n": 3})
        assert value_of(other, "locks/a") == {"n": 3}


def _put_all(view: View, state: dict[str, dict[str, Any]]) -> None:
    for key, value in state.items():
        view.put(key, value)
