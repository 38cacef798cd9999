"""Foreign changes: counted calls, fingerprints, what is no record. Whose doing it was: protocol/vectors/editing/."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import Now
from latchboard.rules import foreign as rules
from tests.rules.test_image import GOOD

NOW = Now(1_795_229_464.0, 1000.0, "boot-1")
FILE: dict[str, Any] = {"name": "a", "path": "a", "token": 1, "before": GOOD, "after": None, "diff": "kept/x.diff"}
CONFLICT: dict[str, Any] = {
    "id": "1-p-1",
    "kind": "foreign-change",
    "holder": "A",
    "by": "B",
    "certain": True,
    "also": [],
    "found": {"at": "2026-11-21T08:00:00.000000Z", "mono_s": 1.0, "boot": "boot-1"},
    "files": [FILE],
}


def test_calls_are_counted_and_what_was_seen_is_kept() -> None:
    one = rules.opened(None, "A", NOW, {"a": "x"})
    two = rules.opened(one, "A", NOW, {"b": "y"})

    assert (two["count"], two["seen"]) == (2, {"a": "x", "b": "y"})
    back = rules.closed(two)
    assert back is not None
    assert back["count"] == 1
    assert rules.closed(back) is None


def test_a_client_that_loses_every_end_does_not_count_for_ever() -> None:
    call = None
    for _ in range(rules.COUNT_MAX + 5):
        call = rules.opened(call, "A", NOW, {})

    assert call is not None
    assert call["count"] == rules.COUNT_MAX


@pytest.mark.parametrize(("age_s", "expect"), [(0, True), (600, True), (600.5, False)])
def test_a_call_is_open_for_so_long(age_s: float, expect: bool) -> None:
    call = rules.opened(None, "A", NOW, {})

    assert rules.is_open(call, Now(NOW.wall_s + age_s, NOW.mono_s + age_s, NOW.boot), 600) is expect


def test_fingerprints_tell_contents_apart() -> None:
    large: Any = {**GOOD, "sha256": ""}
    other: Any = {**large, "size": 5}

    assert len({rules.fingerprint(one) for one in (None, GOOD, large, other)}) == 4  # type: ignore[arg-type]  # as stored


@pytest.mark.parametrize(
    "changed",
    [
        {"agent": ""},
        {"count": 0},
        {"count": True},
        {"since": {}},
        {"seen": []},
        {"seen": {"a": 1}},
        {"seen": {"": "x"}},
    ],
)
def test_a_record_of_calls_of_another_shape_is_named(changed: dict[str, Any]) -> None:
    good = rules.opened(None, "A", NOW, {"a": "x"})

    assert rules.check_call(good) == ""
    assert rules.check_call({**good, **changed}) != ""
    assert rules.check_call(None) != ""


@pytest.mark.parametrize(
    "changed",
    [
        {"id": ""},
        {"holder": 1},
        {"by": ""},
        {"certain": 1},
        {"also": "C"},
        {"also": [""]},
        {"found": 1},
        {"files": []},
        {"files": [{**FILE, "name": ""}]},
        {"files": [{**FILE, "token": "1"}]},
        {"files": [{**FILE, "before": 1}]},
        {"files": ["a"]},
        {"files": [{"name": "a", "path": "a", "token": 1, "diff": "", "before": None}]},
        {"restored": {}},
        {"restored": [{"over": 1}]},
        {"restored": [{}]},
    ],
)
def test_a_conflict_of_another_shape_is_named(changed: dict[str, Any]) -> None:
    assert rules.check_conflict(CONFLICT) == rules.check_conflict({**CONFLICT, "by": None}) == ""
    assert rules.check_conflict({**CONFLICT, **changed}) != ""
    assert rules.check_conflict(7) != ""


def test_a_conflict_refers_to_both_sides_its_diff_and_what_was_written_over() -> None:
    over = {**GOOD, "sha256": "b" * 64}
    conflict: Any = {**CONFLICT, "restored": [{"over": over}, {"over": None}]}

    assert rules.kept_names(conflict) == {"a" * 64, "x.diff", "b" * 64}


def test_a_conflict_without_a_diff_refers_to_none() -> None:
    conflict: Any = {**CONFLICT, "files": [{**FILE, "diff": ""}]}

    assert rules.kept_names(conflict) == {"a" * 64}


@pytest.mark.parametrize(("age_s", "expect"), [(0, False), (60, False), (60.5, True)])
def test_a_conflict_is_kept_for_so_long(age_s: float, expect: bool) -> None:
    conflict: Any = {**CONFLICT, "found": rules.opened(None, "A", NOW, {})["since"]}

    assert rules.is_over(conflict, Now(NOW.wall_s + age_s, NOW.mono_s + age_s, NOW.boot), 60) is expect


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (GOOD, GOOD, "changed"),
        (None, GOOD, "made"),
        (GOOD, None, "deleted"),
        (GOOD, {**GOOD, "kind": "folder"}, "replaced by a folder"),
        (GOOD, {**GOOD, "kind": "other"}, "replaced by something that is no file"),
    ],
)
def test_what_happened_in_words(before: Any, after: Any, word: str) -> None:
    assert rules.described(before, after) == word


def test_what_is_held_for_calls_alone_is_known_till_the_last_of_them() -> None:
    one = rules.opened(None, "A", NOW, {}, ["b", "a"])
    two = rules.opened(one, "A", NOW, {}, ["c"])

    assert two["passing"] == ["a", "b", "c"]
    assert rules.passed(two, ["c"])["passing"] == ["c"]
    assert "passing" not in rules.passed(two, [])
    assert rules.check_call(two) == ""
    assert rules.check_call({**two, "passing": [1]})
    assert rules.check_call({**two, "passing": "a"})
