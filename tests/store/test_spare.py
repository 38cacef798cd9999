"""Files that records have left are used again, and nothing that stands in a spare's place is trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.store.files import layout
from latchboard.store.files.spare import SLOTS, SPARE_BYTES_MAX, SPARES_COUNT_MAX
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock
from tests.conftest import ONE_FIXTURE

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


def test_short_message_leaves_one_and_a_long_one_does_not(store: FileStore, folder: Path) -> None:
    put(store, "messages/a/1", n=1)
    put(store, "messages/a/2", text="x" * SPARE_BYTES_MAX)

    delete(store, "messages/a/2")
    assert spares(folder) == []

    delete(store, "messages/a/1")
    assert len(spares(folder)) == 1


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


# -- the files of records that are replaced ---------------------------------------------------------------------------


def test_file_of_a_replaced_record_is_used_again(store: FileStore, folder: Path) -> None:
    first = put(store, n=1).stat().st_ino
    second = put(store, n=2).stat().st_ino
    assert second != first

    assert put(store, n=3).stat().st_ino == first
    assert put(store, n=4).stat().st_ino == second
    assert get(folder) == {"n": 4}


def test_many_records_replaced_in_one_commit_are_each_their_own(store: FileStore, folder: Path) -> None:
    keys = [f"agents/{n}" for n in range(2 * SPARES_COUNT_MAX + 3)]
    for turn in range(5):
        store.transact(lambda view, turn=turn: [view.put(key, {"turn": turn, "name": key}) for key in keys], who="a")
        assert [get(folder, key) for key in keys] == [{"turn": turn, "name": key} for key in keys]
    assert len(list(folder.glob("old.*"))) <= SPARES_COUNT_MAX


@pytest.mark.parametrize("name", ["locks/old.py", "locks/spare.py", "old.py", "spare.1"])
def test_record_whose_file_is_called_like_a_spare_is_none(store: FileStore, folder: Path, name: str) -> None:
    keys = ["locks/a.py", name, "locks/z.py"]
    for turn in range(6):
        for order in (keys, keys[::-1]):
            store.transact(
                lambda view, n=turn, order=order: [view.put(key, {"n": n, "of": key}) for key in order], who="a"
            )
            assert [get(folder, key) for key in keys] == [{"n": turn, "of": key} for key in keys]
        if turn % 2:
            delete(store, *keys)
            assert [get(folder, key) for key in keys] == [None] * 3


def test_long_record_is_not_written_into_a_spare(store: FileStore, folder: Path) -> None:
    put(store, "agents/a", n=1)
    put(store, "agents/a", n=2)
    (spare,) = folder.glob("old.*")
    inode = spare.stat().st_ino

    assert put(store, "agents/b", text="x" * SPARE_BYTES_MAX).stat().st_ino != inode


def test_commit_that_fails_loses_no_name(store: FileStore, folder: Path) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    put(store, n=0)
    for n in range(1, 3 * SPARES_COUNT_MAX):
        put(store, n=n)
        with pytest.raises(RuntimeError):
            store.transact(lambda view: view.put(KEY, {}), who="a", effect=fail)
        assert get(folder) == {"n": n}

    inode = put(store, n=100).stat().st_ino
    put(store, n=101)
    assert put(store, n=102).stat().st_ino == inode


def test_writer_killed_between_its_two_steps_leaves_a_file_that_nobody_writes_into(
    store: FileStore, folder: Path
) -> None:
    path = put(store, n=1)
    for n in range(SPARES_COUNT_MAX):
        os.link(path, folder / f"old.{os.getpid() % SLOTS}.{n}.tmp")  # as if somebody of this slot had been

    for n in range(2, 9):
        put(store, n=n)
        put(store, "locks/b.py", n=n)
        assert get(folder) == {"n": n}
        assert get(folder, "locks/b.py") == {"n": n}
        delete(store, "locks/b.py")


def test_record_that_is_deleted_is_gone_although_a_killed_writer_gave_it_a_second_name(
    store: FileStore, folder: Path
) -> None:
    path = put(store, n=1)
    for n in range(SPARES_COUNT_MAX):
        os.link(path, folder / f"old.{os.getpid() % SLOTS}.{n}.tmp")

    delete(store)

    assert not path.exists()
    assert get(folder) is None


@settings(suppress_health_check=ONE_FIXTURE, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.booleans(),
            st.dictionaries(
                st.sampled_from(["a", "b", "c", "old.py", "spare.py"]), st.none() | st.integers(0, 10**6), min_size=1
            ),
        ),
        max_size=30,
    )
)
def test_two_writers_of_one_slot_never_mix_up_records(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, dict[str, int | None]]]
) -> None:
    root = tmp_path_factory.mktemp("slot")
    writers = [FileStore(str(root), clock=ManualClock()) for _ in range(2)]
    reader = FileStore(str(root), clock=ManualClock())
    expected: dict[str, dict[str, int]] = {}
    try:
        for is_second, changes in steps:

            def write(view: Any, changes: dict[str, int | None] = changes) -> None:
                for name, n in changes.items():
                    key = f"locks/{name}"
                    if n is None:
                        view.delete(key)
                        expected.pop(key, None)
                    else:
                        view.put(key, {"n": n})
                        expected[key] = {"n": n}

            writers[is_second].transact(write, who="a")
            assert dict(reader.read("locks/").scan("locks/")) == expected
    finally:
        for store in (*writers, reader):
            store.close()
