"""What a function is told that nobody knows yet (a guess, or what is remembered) is never the ground of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from latchboard.testing import ManualClock
from tests.store.etcd.lossy import NOT_DONE, Lossy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from latchboard.store.etcd.store import EtcdStore
    from tests.store.etcd.server import Place

pytestmark = [pytest.mark.process]


class Told(Exception):
    """What a function said by an exception."""


@pytest.fixture
def pair(etcd: Place) -> Iterator[tuple[EtcdStore, EtcdStore]]:
    access = etcd.access()
    first, second = (etcd.store(access, ManualClock()) for _ in range(2))
    yield first, second
    first.close()
    second.close()


def by_get(view: Any) -> Any:
    return view.get("locks/b")


def by_scan(view: Any) -> Any:
    return dict(view.scan("locks/")).get("locks/b")


def said(store: EtcdStore, read: Callable[[Any], Any], *, by_exception: bool) -> Any:
    """What a function says of a record that it reads once it has learned of another one, and puts nothing."""

    def look(view: Any) -> Any:
        if view.get("agents/a") is None:
            return "nobody"
        found = read(view)
        if by_exception:
            raise Told(found)
        return found

    if not by_exception:
        return store.transact(look, who="a").value
    with pytest.raises(Told) as told:
        store.transact(look, who="a")
    return told.value.args[0]


@pytest.mark.parametrize("read", [by_get, by_scan])
@pytest.mark.parametrize("by_exception", [False, True])
def test_what_is_read_in_a_later_run_alone_is_told_as_it_is(
    pair: tuple[EtcdStore, EtcdStore], read: Callable[[Any], Any], by_exception: bool
) -> None:
    store, other = pair
    other.transact(lambda view: view.put("agents/a", {}), who="b")
    other.transact(lambda view: view.put("locks/b", {"n": 1}), who="b")

    assert said(store, read, by_exception=by_exception) == {"n": 1}


@pytest.mark.parametrize("read", [by_get, by_scan])
@pytest.mark.parametrize("by_exception", [False, True])
@pytest.mark.parametrize("after", [None, {"n": 2}])
def test_what_is_remembered_is_told_as_it_is_now(
    pair: tuple[EtcdStore, EtcdStore], read: Callable[[Any], Any], by_exception: bool, after: dict[str, Any] | None
) -> None:
    store, other = pair
    store.transact(lambda view: view.put("locks/b", {"n": 1}), who="a")
    change = (lambda view: view.delete("locks/b")) if after is None else (lambda view: view.put("locks/b", after))
    other.transact(change, who="b")
    other.transact(lambda view: view.put("agents/a", {}), who="b")

    assert said(store, read, by_exception=by_exception) == after


def test_what_is_remembered_is_not_known_because_a_commit_was_lost(pair: tuple[EtcdStore, EtcdStore]) -> None:
    """What a run says after one whose commit was never done, and that had stood on what is remembered."""
    store, other = pair
    store.transact(lambda view: view.put("locks/b", {"n": 1}), who="a")
    other.transact(lambda view: [view.put("locks/b", {"n": 2}), view.put("agents/a", {})], who="b")
    lossy = Lossy(store)
    told: list[Any] = []

    def look(view: Any) -> Any:
        if view.get("agents/a") is None:
            return None
        told.append(by_get(view))
        if len(told) > 1:  # its time is over now, and it would put nothing
            return told[-1]
        lossy.lose(NOT_DONE)
        view.put("agents/c", {})
        return None

    assert store.transact(look, who="a").value == {"n": 2}
    assert (told[0], lossy.lost_count) == ({"n": 1}, 1)


def test_nothing_that_a_run_guessed_is_committed(pair: tuple[EtcdStore, EtcdStore]) -> None:
    store, other = pair
    other.transact(lambda view: [view.put("agents/a", {}), view.put("locks/b", {"n": 1})], who="b")

    def copy(view: Any) -> Any:
        if view.get("agents/a") is not None:
            view.put("agents/c", {"found": [by_get(view), by_scan(view)]})

    store.transact(copy, who="a")

    assert store.read("agents/c").get("agents/c") == {"found": [{"n": 1}] * 2}
