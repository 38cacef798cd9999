"""Who begins to look at a store with a long history reads the end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latchboard.clock import SystemClock
from latchboard.store.etcd.lately import COMMIT_BYTES
from latchboard.store.etcd.store import EtcdStore
from tests.store.etcd.server import Place
from tests.store.etcd.test_suite import compact

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.slow]

TEN = 10 * COMMIT_BYTES


@pytest.fixture
def store(etcd: Place) -> Iterator[EtcdStore]:
    store = EtcdStore(etcd.access(), clock=SystemClock())
    yield store
    store.close()


def commit(store: EtcdStore, count: int) -> int:
    return [store.transact(lambda view: view.put("agents/a", {}), who="a").revision for _ in range(count)][-1]


def seen(store: EtcdStore, after: int) -> int:
    """How many commits come behind a place."""
    watch = store.lately().follow(after)
    count = 0
    while changes := watch.poll():
        count += len(changes)
    assert watch.behind() == 0
    watch.close()
    return count


def test_the_end_of_a_long_history_is_as_long_as_was_asked_for_or_up_to_twice_as_long(store: EtcdStore) -> None:
    """Longer where something else was put or deleted between: a presence of an earlier test may end in this moment."""
    commit(store, 60)

    place = store.lately().place_back(TEN)

    assert 10 <= seen(store, place) <= 20


def test_what_others_commit_to_the_cluster_shortens_it_by_nothing(store: EtcdStore, etcd: Place) -> None:
    commit(store, 60)
    other = EtcdStore(etcd.access(), clock=SystemClock())
    commit(other, 100)
    other.close()
    commit(store, 3)

    place = store.lately().place_back(TEN)

    assert 10 <= seen(store, place) <= 20


def test_a_short_history_is_told_from_its_beginning(store: EtcdStore) -> None:
    assert store.lately().place_back(TEN) == 0, "nobody has begun it"

    commit(store, 5)

    assert store.lately().place_back(TEN) == 0
    assert store.lately().behind_gap() == 0


def test_where_less_than_that_is_kept_it_is_told_from_the_oldest_that_is(store: EtcdStore) -> None:
    middle = commit(store, 30)
    commit(store, 5)
    compact(store.access, middle)

    place = store.lately().place_back(TEN)

    assert place == 0
    assert seen(store, place) == 5


def test_what_is_compacted_while_the_end_is_looked_for_is_left_out(store: EtcdStore, etcd: Place) -> None:
    """More than enough was found behind what others committed, and is compacted before a nearer place is."""
    last = commit(store, 60)
    other = EtcdStore(etcd.access(), clock=SystemClock())
    commit(other, 100)
    other.close()
    commit(store, 3)
    lately = store.lately()
    real = lately._commit
    asked: list[int] = []

    def looked(at: int, deadline: float) -> dict[str, int] | None:
        asked.append(at)
        if len(asked) == 5:
            assert asked[-1] > asked[-2], "it looks for a nearer one"
            compact(store.access, last)
        return real(at, deadline)

    lately._commit = looked  # type: ignore[method-assign]

    place = lately.place_back(TEN)

    assert len(asked) > 5
    assert seen(store, place) in (3, 4), "what is kept, and no place that is not"


def test_a_store_that_began_with_a_copy_tells_its_own_revisions(etcd: Place) -> None:
    store = EtcdStore(etcd.access(), clock=SystemClock())
    filling = store.filling()
    filling.begin(1_800_000_000_000_000, "nowhere")
    filling.finish()

    assert store.lately().place_back(TEN) == 0
    commit(store, 8)
    assert store.lately().place_back(TEN) == 0
    newest = commit(store, 22)
    place = store.lately().place_back(TEN)

    assert newest - 30 <= place < newest
    assert 10 <= seen(store, place) <= 20
    store.close()


def test_a_board_that_is_looked_at_for_the_first_time_knows_what_happened_lately(store: EtcdStore, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from latchboard import Latchboard

    Latchboard(tmp_path, store=store, publishes=False).agent("a").lock("src/a.py").release()
    commit(store, 1000)
    board = Latchboard(tmp_path, store=store, publishes=False)
    hold = board.agent("b").lock("src/b.py")

    told = board.board.read()
    board.board.close()

    assert hold.is_live()
    assert "src/b.py" in str(told)
    assert "src/a.py" not in str(told), "it was more than some hundred commits ago"
