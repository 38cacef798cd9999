"""The file of a lock that was given back is used again, and nothing that stands in a spare's place is trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latchboard.store.files import layout
from latchboard.store.files.spare import SLOTS, SPARES_COUNT_MAX
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock

KEY = "locks/a.py"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    store = FileStore(str(tmp_path), clock=ManualClock())
    yield store
    store.close()


@pytest.fixture
def folder(store: FileStore) -> Path:
    return Path(store.path)


def put(store: FileStore, key: str = KEY, **value: object) -> Path:
    store.transact(lambda view: view.put(key, dict(value)), who="a")
    return Path(store.path) / layout.record(key)


def delete(store: FileStore, *keys: str) -> None:
    store.transact(lambda view: [view.delete(key) for key in keys or [KEY]], who="a")


def spares(folder: Path) -> list[Path]:
    return sorted(folder.glob("spare.*"))


def get(folder: Path, key: str = KEY) -> object:
    """As another process reads it."""
    other = FileStore(str(folder.parent.parent), clock=ManualClock())
    try:
        return other.read(key).get(key)
    finally:
        other.close()


def test_next_lock_gets_the_file_of_the_last_one(store: FileStore, folder: Path) -> None:
    inode = put(store, text="long " * 100).stat().st_ino
    delete(store)
    assert [spare.stat().st_ino for spare in spares(folder)] == [inode]

    path = put(store, "locks/b.py", n=1)

    assert path.stat().st_ino == inode
    assert get(folder, "locks/b.py") == {"n": 1}
    assert get(folder) is None
    assert spares(folder) == []


def test_spare_is_no_record(store: FileStore, folder: Path) -> None:
    put(store, n=1)
    put(store, "waiters/w", n=2)
    delete(store, KEY, "waiters/w")

    assert len(spares(folder)) == 2
    assert store.read("locks/").scan("locks/") == []
    assert store.read("waiters/").scan("waiters/") == []


def test_messages_leave_none(store: FileStore, folder: Path) -> None:
    put(store, "messages/a/1", n=1)
    delete(store, "messages/a/1")

    assert spares(folder) == []


def test_there_are_never_more_than_a_few(store: FileStore, folder: Path) -> None:
    keys = [f"locks/{n}.py" for n in range(3 * SPARES_COUNT_MAX)]
    store.transact(lambda view: [view.put(key, {}) for key in keys], who="a")
    delete(store, *keys)

    assert len(spares(folder)) == SPARES_COUNT_MAX
    assert {spare.name.split(".")[1] for spare in spares(folder)} == {str(os.getpid() % SLOTS)}


def test_spare_that_is_gone_is_not_missed(store: FileStore, folder: Path) -> None:
    put(store, n=1)
    delete(store)
    for spare in spares(folder):
        spare.unlink()

    put(store, n=2)

    assert get(folder) == {"n": 2}


def test_backup_made_of_hard_links_is_not_written_into(store: FileStore, folder: Path, tmp_path: Path) -> None:
    path = put(store, n=1)
    os.link(path, tmp_path / "backup")
    before = path.read_bytes()
    delete(store)

    put(store, n=2)

    assert (tmp_path / "backup").read_bytes() == before
    assert get(folder) == {"n": 2}


def test_open_reader_of_a_deleted_record_is_not_told_of_another_lock(store: FileStore, folder: Path) -> None:
    """Who reads a file without the guard may see its next use: the key inside says so (protocol/store.md)."""
    with put(store, n=1).open("rb") as reader:
        delete(store)
        put(store, "locks/b.py", n=2)
        assert b'"key":"locks/b.py"' in reader.read()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _symlink(path: Path) -> None:
    (path.parent / "precious").write_text("mine")
    path.symlink_to("precious")


def _folder(path: Path) -> None:
    path.mkdir()


def _other_mode(path: Path) -> None:
    path.touch(0o644)
    path.chmod(0o644)


@pytest.mark.parametrize("plant", [_fifo, _symlink, _folder, _other_mode])
def test_what_is_planted_in_its_place_is_not_used(
    store: FileStore, folder: Path, plant: Callable[[Path], None]
) -> None:
    put(store, n=1)
    delete(store)
    (spare,) = spares(folder)
    spare.unlink()
    plant(spare)

    path = put(store, n=2)
    assert path.is_file()
    assert path.stat().st_mode & 0o777 == 0o600
    assert get(folder) == {"n": 2}
    delete(store)
    delete(store)
    assert get(folder) is None
    if (folder / "precious").exists():
        assert (folder / "precious").read_text() == "mine"


def test_fifo_that_somebody_reads_is_not_used(store: FileStore, folder: Path) -> None:
    put(store, n=1)
    delete(store)
    (spare,) = spares(folder)
    spare.unlink()
    os.mkfifo(spare)
    reader = os.open(spare, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert put(store, n=2).is_file()
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)
    assert get(folder) == {"n": 2}


def test_spare_moves_into_a_folder_once_that_is_there(store: FileStore, folder: Path) -> None:
    inode = put(store, n=1).stat().st_ino
    delete(store)

    put(store, "waiters/v", n=2)
    assert get(folder, "waiters/v") == {"n": 2}
    assert put(store, "waiters/w", n=3).stat().st_ino == inode
    assert get(folder, "waiters/w") == {"n": 3}
