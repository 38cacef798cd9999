from __future__ import annotations

import threading
from pathlib import Path

from latchboard.settings import Settings
from latchboard.store.files.follow import Follower
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock


def open_store(root: Path, **settings: int) -> FileStore:
    return FileStore(str(root), clock=ManualClock(), settings=Settings(**settings))


def commit(store: FileStore, count: int = 1) -> int:
    for _ in range(count):
        revision = store.transact(lambda view: view.put("agents/a", {"n": "x" * 100}), who="a").revision
    return revision


def test_it_reads_what_a_watch_reads_and_wakes_nobody(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = commit(store)
    threads = threading.active_count()

    follower = Follower(store.path, after=first)
    second = commit(store)

    assert [(c.key, c.revision) for c in follower.poll()] == [("agents/a", second)]
    assert (follower.mode, threading.active_count()) == ("poll", threads)
    follower.close()


def test_it_knows_how_much_lies_ahead(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    follower = Follower(store.path, after=commit(store))
    follower.poll()
    assert follower.behind() == 0

    commit(store, 10)
    ahead = follower.behind()

    assert ahead > 10 * 100
    follower.poll()
    assert follower.behind() == 0
    follower.close()


def test_it_knows_that_over_a_rotation_as_well(tmp_path: Path) -> None:
    store = open_store(tmp_path, journal_bytes_max=2000)
    follower = Follower(store.path, after=commit(store))
    follower.poll()

    commit(store, 15)

    assert follower.behind() > 1000
    assert len(follower.poll()) == 15
    assert follower.behind() == 0
    follower.close()


def test_where_there_is_no_store_nothing_lies_ahead(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path / "nowhere"), after=0)

    assert (follower.behind(), follower.poll()) == (0, [])
    follower.close()
