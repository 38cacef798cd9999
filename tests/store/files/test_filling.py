"""A folder made a store by what is copied into it: what may lie there, what is in the way, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import MalformedRecord, StoreBusy, UnsafeFolder, UnsupportedVersion, UsageError
from latchboard.settings import Settings
from latchboard.store.copying import copy, differences
from latchboard.store.files import filling, guard, layout
from latchboard.store.files.glance import Glance
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock

CLOCK = ManualClock()
ELSEWHERE = '{"format":0,"store_id":"elsewhere","store":"etcd://h/p"}\n'
UNFINISHED = '{"format":0,"store_id":"copying","store":"here"}\n'


class Project:
    """A folder with, or for, a store."""

    def __init__(self, root: Path, *, is_marked: bool = False) -> None:
        self.root = root
        self.place = root / "data" / ".agent_locks"
        self.place.parent.mkdir(parents=True)
        self.store = FileStore(str(root), clock=CLOCK)
        if is_marked:
            self.place.mkdir()
            (self.place / "FORMAT").write_text(ELSEWHERE)

    def everything(self) -> Any:
        return filling.everything(self.store)

    def filling(self) -> filling.Filling:
        return filling.Filling(str(self.root), clock=CLOCK, settings=Settings())

    def beside(self) -> list[str]:
        return sorted(one.name for one in self.place.parent.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Project:
    made = Project(tmp_path / "from")
    made.store.transact(lambda view: view.put("jobs/a", {"n": 1}), who="a")
    return made


def copied(source: Project, to: Project) -> None:
    destination = to.filling()
    try:
        copy(source, destination, name="here", size_of=lambda _: 100)
    finally:
        destination.close()
    assert differences(to.everything().records, source.everything().records) == []


def opened_below(path: Path) -> list[str]:
    opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [one for one in opened if one.startswith(str(path.resolve()))]


def test_what_lies_where_a_copy_is_made_is_somebody_elses(source: Project, tmp_path: Path) -> None:
    """A copy of the folder that somebody has made himself has that name more often than not."""
    to = Project(tmp_path / "to", is_marked=True)
    put_by = to.place.with_name(".agent_locks.copy")
    source.place.rename(put_by)
    source.place.mkdir()
    source.store.transact(lambda view: view.put("jobs/b", {"n": 2}), who="a")

    with pytest.raises(UsageError, match="in the way"):
        copied(source, to)

    assert (put_by / "jobs" / "a.json").exists()
    assert to.beside() == [".agent_locks", ".agent_locks.copy"]
    put_by.rename(tmp_path / "elsewhere")
    copied(source, to)
    assert to.beside() == [".agent_locks"]


@pytest.mark.parametrize("where", ["", ".before"])
def test_pipe_where_a_format_belongs_is_refused_and_not_waited_for(source: Project, tmp_path: Path, where: str) -> None:
    to = Project(tmp_path / "to")
    planted = to.place.with_name(f".agent_locks{where}")
    planted.mkdir()
    os.mkfifo(planted / "FORMAT")

    with pytest.raises(UsageError, match="already" if not where else "in the way"):
        copied(source, to)
    assert to.beside() == [planted.name]


@pytest.mark.parametrize("name", ["x-06c7757c1fd04598.lock", "jobs", "queue", "wide.json", "journal"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_records_that_nobody_copied_are_taken_for_a_store(
    source: Project, tmp_path: Path, name: str, is_marked: bool
) -> None:
    to = Project(tmp_path / "to", is_marked=is_marked)
    to.place.mkdir(exist_ok=True)
    if name == "journal":
        (to.place / layout.journal(7)).parent.mkdir()
        (to.place / layout.journal(7)).write_text("")
    else:
        (to.place / name).mkdir()

    with pytest.raises(UsageError, match="already"):
        copied(source, to)
    assert (to.place / name).exists()


def test_mirror_and_what_a_visitor_left_are_dropped_and_all_else_is_kept(source: Project, tmp_path: Path) -> None:
    to = Project(tmp_path / "to", is_marked=True)
    (to.place / "journal").mkdir()
    (to.place / "journal" / "guard").write_text("")  # who was refused has left that, in earlier versions
    (to.place / "messages" / "b").mkdir(parents=True)
    (to.place / "messages" / "b" / "1.json").write_text("{}")
    (to.place / "broadcasts").symlink_to(tmp_path)
    (to.place / "status_board.json").symlink_to(tmp_path / "nowhere")
    (to.place / "kept").mkdir()
    (to.place / "kept" / "1").write_text("bytes")

    copied(source, to)

    assert sorted(os.listdir(to.place)) == ["FORMAT", "jobs", "journal", "kept"]
    assert (to.place / "kept" / "1").read_text() == "bytes"
    assert to.beside() == [".agent_locks"]
    assert source.root.exists()  # nothing behind the link was removed


@pytest.mark.parametrize("text", [ELSEWHERE, UNFINISHED])
def test_whoever_comes_to_no_store_is_told_so_and_leaves_nothing(tmp_path: Path, text: str) -> None:
    to = Project(tmp_path / "to", is_marked=True)
    (to.place / "FORMAT").write_text(text)
    uses: list[Callable[[], object]] = [
        lambda: to.store.read("jobs/a"),
        lambda: to.store.read("jobs/"),
        lambda: to.store.transact(lambda view: view.put("jobs/x", {}), who="a"),
        lambda: Glance(str(to.place), Settings()).read("jobs/"),
        lambda: to.store.bell("jobs/a"),
    ]

    for use in uses:
        with pytest.raises(UnsupportedVersion):
            use()
    assert os.listdir(to.place) == ["FORMAT"]
    assert filling.format_in(str(to.place))[0] == 0
    assert opened_below(tmp_path) == []


def test_link_in_the_place_is_refused(source: Project, tmp_path: Path) -> None:
    to = Project(tmp_path / "to")
    (tmp_path / "other").mkdir()
    to.place.symlink_to(tmp_path / "other")

    with pytest.raises(UsageError, match="already"):
        copied(source, to)
    assert list((tmp_path / "other").iterdir()) == []


def test_record_that_a_dead_writer_has_only_committed_is_copied(source: Project, tmp_path: Path) -> None:
    """In no file yet, and in no collection: nobody would find it by looking."""
    source.store.transact(lambda view: view.put("wide", {"names": ["src/"]}), who="a")
    (source.place / "wide.json").unlink()
    with (source.place / "journal" / "guard").open("r+b") as file:
        header = guard.read_header(file.fileno())
        assert header is not None
        last = (source.place / layout.journal(header.base)).read_bytes().splitlines(keepends=True)[-1]
        header.applied -= len(last)
        guard.write_header(file.fileno(), header)

    copied(source, to := Project(tmp_path / "to"))

    assert to.everything().records["wide"] == {"names": ["src/"]}


def test_place_that_a_copy_has_taken_away_is_no_empty_store(source: Project, tmp_path: Path) -> None:
    to = Project(tmp_path / "to")
    before = to.place.with_name(".agent_locks.before")
    before.mkdir()
    (before / "FORMAT").write_text(UNFINISHED)
    uses: list[Callable[[], object]] = [
        lambda: to.store.read("jobs/a"),
        lambda: to.store.read("jobs/"),
        lambda: to.store.transact(lambda view: view.put("jobs/x", {}), who="a"),
        to.everything,
    ]

    for use in uses:
        with pytest.raises(UnsupportedVersion, match="not finished"):
            use()
    assert not to.place.exists()
    copied(source, to)

    somebodys = Project(tmp_path / "theirs")  # a store that was put by says nothing of a new one
    source.place.rename(somebodys.place.with_name(".agent_locks.before"))
    assert somebodys.store.read("jobs/a").get("jobs/a") is None
    somebodys.store.transact(lambda view: view.put("jobs/x", {}), who="a")
    another = Project(tmp_path / "another", is_marked=True)
    another.place.rename(another.place.with_name(".agent_locks.before"))
    another.store.transact(lambda view: view.put("jobs/x", {}), who="a")


def test_lock_that_was_removed_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to = Project(tmp_path / "to")
    lock = to.place.with_name(".agent_locks.copy.lock")
    try_lock = guard.try_lock

    def ends_meanwhile(fd: int, *, shared: bool) -> bool:
        lock.unlink()
        return try_lock(fd, shared=shared)

    second = to.filling()
    with monkeypatch.context() as patched, pytest.raises(StoreBusy):
        patched.setattr(guard, "try_lock", ends_meanwhile)
        second.begin(5, "here")
    assert not to.place.exists()
    assert opened_below(tmp_path) == []
    second.begin(5, "here")
    second.close()
    assert not lock.exists()


def test_file_where_an_owners_messages_belong_is_named(source: Project) -> None:
    source.store.transact(lambda view: view.put("messages/b/1", {"body": "x"}), who="a")
    (source.place / "messages" / "notes.txt").write_text("x")

    with pytest.raises(UnsafeFolder, match=r"messages/notes\.txt"):
        source.everything()


def test_what_is_no_record_by_its_place_is_not_copied(source: Project, tmp_path: Path) -> None:
    for name in ("backups", "installed", ".theirs"):
        (source.place / name).mkdir()
        (source.place / name / "x.json").write_text("{}")

    copied(source, Project(tmp_path / "to"))


def test_damaged_record_of_an_unknown_collection_is_found(source: Project) -> None:
    source.store.transact(lambda view: view.put("theirs/a", {}), who="a")
    (source.place / "theirs" / "a.json").write_text("{")
    damaged: list[MalformedRecord] = []

    assert list(filling.everything(source.store, damaged).records) == ["jobs/a"]
    assert [one.fields["path"] for one in damaged] == ["theirs/a.json"]


def test_store_from_which_everything_was_deleted_is_one(source: Project, tmp_path: Path) -> None:
    """Its tokens must not come back."""
    last = source.store.transact(lambda view: view.delete("jobs/a"), who="a").revision

    copied(source, to := Project(tmp_path / "to"))

    with pytest.raises(UsageError, match="already"):
        copied(source, to)
    assert to.store.transact(lambda view: view.put("jobs/b", {}), who="a").revision > last


def test_what_was_copied_is_on_the_disk(source: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part, and that the copy is in its place: the source may be removed then."""
    to = Project(tmp_path / "to")
    destination = to.filling()
    destination.begin(5, "here")
    destination.put([("jobs/a", {})])
    flushed: list[str] = []
    for name in ("fsync", "fdatasync"):
        flush = getattr(os, name)

        def noted(fd: int, flush: Callable[[int], None] = flush) -> None:
            flushed.append(os.path.realpath(f"/proc/self/fd/{fd}").rpartition("/")[2].partition(".")[2])
            flush(fd)

        monkeypatch.setattr(os, name, noted)

    destination.put([("jobs/b", {})])
    assert flushed == ["jsonl"]
    flushed.clear()
    destination.finish()
    assert flushed == [""]  # the folder above


def test_what_else_lies_beside_the_place_is_left_alone(source: Project, tmp_path: Path) -> None:
    to = Project(tmp_path / "to")
    before = to.place.with_name(".agent_locks.before")
    before.mkdir()
    (before / "theirs").write_text("x")
    with pytest.raises(UsageError, match="in the way"):
        copied(source, to)

    (before / "theirs").unlink()  # empty, as one that was killed behind everything else has left it
    copied(source, to)
    assert to.beside() == [".agent_locks"]

    for place, name in ((before, "1"), (to.place, "2")):  # killed before it was tidied, and used since
        (place / "kept").mkdir(parents=True)
        (place / "kept" / name).write_text("bytes")
    (before / "FORMAT").write_text(UNFINISHED)
    with pytest.raises(UsageError, match="already"):
        copied(source, to)
    assert (os.listdir(before / "kept"), os.listdir(to.place / "kept")) == (["1"], ["2"])


def test_record_that_somebody_edits_by_hand_meanwhile_has_moved_the_source(source: Project, tmp_path: Path) -> None:
    destination = Project(tmp_path / "to").filling()
    put = destination.put

    def edits(part: Any) -> None:
        path = source.place / "jobs" / "a.json"
        path.write_text(path.read_text().replace('"n":1', '"n":2'))
        put(part)

    destination.put = edits  # type: ignore[method-assign]
    with pytest.raises(StoreBusy, match="somebody committed"):
        copy(source, destination, name="here", size_of=lambda _: 100)
    destination.close()
