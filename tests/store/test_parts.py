"""Work in parts: as large as the store takes, and halved where that is too much."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from latchboard.clock import SystemClock
from latchboard.errors import CommitTooLarge
from latchboard.store.memory import MemoryStore
from latchboard.store.parts import count_of, in_parts


def takes(most: int, done: list[list[int]]) -> object:
    """A commit of at most so many."""

    def commit(part: Sequence[int]) -> None:
        if sum(part) > most:
            raise CommitTooLarge(f"{sum(part)} keys", keys_max=most)
        done.append([*part])

    return commit


@pytest.mark.parametrize(("keys_max", "count"), [(100_000, 200), (100, 23), (10, 1), (4, 1)])
def test_as_many_go_into_one_commit_as_it_takes_and_one_at_least(keys_max: int, count: int) -> None:
    store = MemoryStore(clock=SystemClock(), keys_max=keys_max)

    assert count_of(store, 200, keys_each=4) == count


def test_part_that_is_too_large_is_halved_and_all_of_it_is_done_once_in_order() -> None:
    done: list[list[int]] = []
    items = [1, 1, 1, 1, 5, 1, 1, 1, 1]

    in_parts(items, 8, takes(5, done))  # type: ignore[arg-type]

    assert [one for part in done for one in part] == items
    assert done == [[1, 1, 1, 1], [5], [1], [1], [1], [1]]


def test_item_that_no_commit_takes_is_told_and_what_was_before_it_is_done() -> None:
    done: list[list[int]] = []

    with pytest.raises(CommitTooLarge):
        in_parts([1, 2, 9, 1], 4, takes(5, done))  # type: ignore[arg-type]

    assert done == [[1, 2]]


def test_nothing_is_committed_for_nothing() -> None:
    done: list[list[int]] = []

    in_parts([], 4, takes(5, done))  # type: ignore[arg-type]

    assert done == []
