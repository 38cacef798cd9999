from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from latchboard.errors import Compacted
from latchboard.settings import Settings
from latchboard.store.files import journal, layout
from latchboard.store.files.follow import Follower, Tail
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


def test_a_store_that_was_wiped_and_made_anew_is_another_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    follower = Follower(store.path, after=commit(store))
    follower.poll()

    shutil.rmtree(store.path)
    commit(store)  # by a process that remembers the last revision, and goes on above it

    with pytest.raises(Compacted):
        follower.poll()
    follower.close()


def revisions(store: FileStore, after: int) -> list[int]:
    follower = Tail(store.path).follow(after)
    found = [change.revision for change in follower.poll()]
    follower.close()
    return found


def test_a_place_back_is_a_commit_from_which_the_rest_can_be_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commit(store, 100)
    everything, tail = revisions(store, 0), Tail(store.path)

    for span in (300, 1000, 5000):
        place = tail.place_back(span)
        assert place in everything
        assert revisions(store, place) == everything[everything.index(place) + 1 :]
        assert everything[-1] - place <= span
    assert everything[-1] - tail.place_back(5000) > 4000
    assert tail.place_back(10**9) == 0


def test_a_place_back_may_lie_in_an_earlier_journal(tmp_path: Path) -> None:
    store = open_store(tmp_path, journal_bytes_max=2000, journals_kept_count=50)
    commit(store, 100)
    everything, tail = revisions(store, 0), Tail(store.path)

    for span in (1000, 3000, 8000):
        place = tail.place_back(span)
        behind = everything[everything.index(place) + 1 :]
        assert revisions(store, place) == behind
        assert len(behind) > (everything.index(place) and 1)
    assert tail.place_back(10**9) == 0


def test_one_commit_longer_than_the_span_is_left_out(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commit(store)
    last = store.transact(lambda view: view.put("agents/b", {"n": "x" * 10_000}), who="a").revision

    assert Tail(store.path).place_back(1000) == last


def test_no_store_has_no_place(tmp_path: Path) -> None:
    assert Tail(str(tmp_path / "nowhere")).place_back(1000) == 0


def scribble(store: FileStore, revision: int) -> None:
    """Damage the line of a commit."""
    for path in sorted((Path(store.path) / "journal").glob("*.jsonl"), reverse=True):
        if revision > int(path.stem):
            data = bytearray(path.read_bytes())
            data[revision - int(path.stem) + 20] ^= 1
            path.write_bytes(data)
            return


def test_behind_a_gap_everything_can_be_read(tmp_path: Path) -> None:
    store = open_store(tmp_path, journal_bytes_max=2000, journals_kept_count=5)
    revisions = [commit(store) for _ in range(30)]
    tail = Tail(store.path)
    assert tail.behind_gap() == 0
    assert Tail(str(tmp_path / "nowhere")).behind_gap() == 0

    for index in (11, 20, 25, 28):
        scribble(store, revisions[index])
        place = tail.behind_gap()
        found = [change.revision for change in Follower(store.path, after=place).poll()]
        assert found == revisions[len(revisions) - len(found) :]
        assert revisions[index] <= place
        assert len(revisions) - index - 2 <= len(found) < len(revisions) - index

    scribble(store, revisions[-1])
    assert tail.behind_gap() == revisions[-1]


def test_a_journal_that_another_one_does_not_go_on_from_is_a_gap(tmp_path: Path) -> None:
    for damage in ("first line", "cut", "gone"):
        (tmp_path / damage).mkdir()
        store = open_store(tmp_path / damage, journal_bytes_max=2000, journals_kept_count=5)
        revisions = [commit(store) for _ in range(30)]
        path = sorted((Path(store.path) / "journal").glob("*.jsonl"))[-2]
        last = int(path.stem) + path.stat().st_size
        if damage == "first line":
            path.write_bytes(b"x" + path.read_bytes()[1:])
        elif damage == "cut":
            path.write_bytes(path.read_bytes().rsplit(b"\n", 2)[0] + b"\n")
        else:
            path.unlink()

        place = Tail(store.path).behind_gap()

        assert place == max(revision for revision in revisions if revision < last)
        later = [revision for revision in revisions if revision > place]
        assert [change.revision for change in Follower(store.path, after=place).poll()] == later != []


def test_what_a_writer_that_died_rotating_has_left_is_no_gap(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commit(store, 5)
    (path,) = (Path(store.path) / "journal").glob("*.jsonl")
    later = int(path.stem) + 10**9
    line = journal.first_line(base=later, previous=1, store_id="x", boot="b", marks={}, at="")
    (Path(store.path) / layout.journal(later)).write_bytes(line)

    assert Tail(store.path).behind_gap() == 0
