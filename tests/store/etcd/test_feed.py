"""A watch and a bell leave nothing behind, whether they are closed or forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from select import select

import pytest

from latchboard.clock import SystemClock
from latchboard.store.etcd.feed import Feed
from latchboard.store.etcd.store import EtcdStore
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.relayed import ended, forked
from tests.store.etcd.server import Place

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def store(etcd: Place) -> EtcdStore:
    made = EtcdStore(etcd.access(), clock=SystemClock())
    made.transact(lambda view: view.put("agents/a", {"n": 0}), who="a")
    return made


def watch(store: EtcdStore) -> Feed:
    found = store.watch("agents/", after=0)
    assert [change.key for change in found.poll()] == ["agents/a"]
    return found


def bell(store: EtcdStore) -> Feed:
    return store.bell("agents/a")


def opened() -> set[str]:
    """What this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


@pytest.mark.parametrize("make", [watch, bell])
@pytest.mark.parametrize("is_forgotten", [False, True])
def test_nothing_is_left(make: Callable[[EtcdStore], Feed], is_forgotten: bool, store: EtcdStore) -> None:
    feed = make(store)
    until(partial(getattr, feed, "_stream"), "it reads")
    thread, stream, pipe = feed._thread, feed._stream, os.readlink(f"/proc/self/fd/{feed.fileno()}")
    assert thread is not None
    assert stream is not None
    assert thread.is_alive()
    assert stream._socket.fileno() >= 0

    if not is_forgotten:
        with Awake() as took:
            feed.close()
            assert not thread.is_alive()
            assert took.s < store.access.call_s_max / 2, "it did not wait for somebody to tell something"
    del feed

    until(lambda: not thread.is_alive(), "its thread ends")
    assert stream._socket.fileno() == -1
    assert pipe not in opened()


def test_one_that_is_forgotten_while_nobody_answers_ends(cluster: Callable[..., Place]) -> None:
    place = cluster()
    store = EtcdStore(place.access(), clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {"n": 0}), who="a")
    feed = watch(store)
    thread = feed._thread
    assert thread is not None
    place.members[0].kill()

    del feed

    until(lambda: not thread.is_alive(), "its thread ends")


def test_whoever_watches_is_woken_when_nobody_tells_any_more(cluster: Callable[..., Place]) -> None:
    """Its poll says why. A bell rings once somebody tells again."""
    place = cluster()
    store = EtcdStore(place.access(), clock=SystemClock())
    store.transact(lambda view: view.put("agents/a", {"n": 0}), who="a")
    feed = watch(store)
    until(partial(getattr, feed, "_stream"), "it reads")
    feed.wakeup.clear()

    place.members[0].kill()

    until(lambda: select([feed.fileno()], [], [], 0)[0] != [], "it is told")
    feed.close()


def test_bell_rings_behind_a_stream_that_was_broken(store: EtcdStore) -> None:
    """It may have been put meanwhile."""
    feed = store.bell("agents/a")
    until(partial(getattr, feed, "_stream"), "it reads")
    assert select([feed.fileno()], [], [], 0)[0] == []

    stream = feed._stream
    assert stream is not None
    stream.close()

    until(lambda: select([feed.fileno()], [], [], 0)[0] != [], "it rings")
    feed.close()
    store.close()


def test_a_forked_child_reads_by_a_thread_of_its_own_and_takes_nothing_from_its_parent(store: EtcdStore) -> None:
    feed = watch(store)
    until(partial(getattr, feed, "_stream"), "it reads")
    feed.wakeup.clear()
    pipe = os.readlink(f"/proc/self/fd/{feed.fileno()}")

    def put(n: int) -> None:
        store.transact(lambda view: view.put("agents/a", {"n": n}), who="a")

    def read() -> None:
        assert select([feed.fileno()], [], [], 0)[0], "it looks, whatever its parent has seen"
        assert os.readlink(f"/proc/self/fd/{feed.fileno()}") != pipe
        put(1)
        assert [change.value for change in feed.poll()] == [{"n": 1}]

    assert ended(forked(read)) == 0
    put(2)
    found = feed.poll()
    found += feed.poll() if len(found) < 2 else []
    assert [change.value for change in found] == [{"n": 1}, {"n": 2}]
    feed.close()
    store.close()
