from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import StoreError, StoreReadOnly
from latchboard.store.files import guard, layout
from latchboard.store.files.derived import STATUS_BOARD, DerivedFile
from latchboard.store.files.store import FileStore
from latchboard.testing import ManualClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = FileStore(str(tmp_path), clock=ManualClock())
    store.transact(lambda view: view.put("agents/a", {}), who="a")
    store.close()
    return tmp_path / layout.FOLDER


def derived(folder: Path, mode: int = 0o600) -> DerivedFile:
    return DerivedFile(str(folder), STATUS_BOARD, mode=mode)


def test_it_is_replaced_whole_by_what_make_says_of_its_beginning(folder: Path) -> None:
    file, seen = derived(folder), []

    def make(present: bytes) -> bytes:
        seen.append(present)
        return b"x" * 5000

    assert (file.head(), file.replace(make, wait_s_max=0), file.replace(make, wait_s_max=0)) == (b"", True, True)

    assert seen == [b"", b"x" * 4096]
    assert (folder / STATUS_BOARD).read_bytes() == b"x" * 5000
    assert (folder / STATUS_BOARD).stat().st_mode & 0o777 == 0o600


def test_none_leaves_it_and_the_same_content_is_not_written_again(folder: Path) -> None:
    file = derived(folder)
    file.replace(lambda _: b"same", wait_s_max=0)
    before = (folder / STATUS_BOARD).stat()

    file.replace(lambda _: None, wait_s_max=0)
    file.replace(lambda _: b"same", wait_s_max=0)

    assert (folder / STATUS_BOARD).stat().st_ino == before.st_ino


def test_its_size_and_time_are_those_of_the_last_writing(folder: Path) -> None:
    file = derived(folder)
    assert file.written() is None

    file.replace(lambda _: b"12345", wait_s_max=0)

    assert file.written() == (5, (folder / STATUS_BOARD).stat().st_mtime)


def test_one_at_a_time(folder: Path) -> None:
    one, other, answers = derived(folder), derived(folder), []

    def make(_: bytes) -> bytes:
        answers.append(other.replace(lambda _: b"other", wait_s_max=0))
        answers.append(other.replace(lambda _: b"other", wait_s_max=0.01))
        return b"one"

    assert one.replace(make, wait_s_max=0) is True
    assert answers == [False, False]
    assert other.replace(lambda _: b"other", wait_s_max=0) is True


def test_where_there_is_no_store_there_is_nothing_to_derive(tmp_path: Path) -> None:
    file = derived(tmp_path / "nowhere")

    assert (file.head(), file.replace(lambda _: b"x", wait_s_max=0)) == (b"", False)
    (tmp_path / "empty").mkdir()
    assert derived(tmp_path / "empty").replace(lambda _: b"x", wait_s_max=0) is False
    assert list((tmp_path / "empty").iterdir()) == []


def test_an_error_in_make_frees_the_turn(folder: Path) -> None:
    def fail(_: bytes) -> bytes:
        raise StoreError("no")

    with pytest.raises(StoreError):
        derived(folder).replace(fail, wait_s_max=0)
    assert derived(folder).replace(lambda _: b"x", wait_s_max=0) is True


@pytest.mark.parametrize("planted", ["link", "folder", "fifo"])
def test_failures_3_26_what_is_planted_in_its_place_is_replaced_or_refused(folder: Path, planted: str) -> None:
    place, victim = folder / STATUS_BOARD, folder / "victim"
    victim.write_bytes(b"precious")
    if planted == "link":
        place.symlink_to(victim)
    elif planted == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    file = derived(folder)

    assert file.head() == b""
    if planted == "folder":
        with pytest.raises(StoreError):
            file.replace(lambda _: b"x", wait_s_max=0)
    else:
        file.replace(lambda _: b"x", wait_s_max=0)
        assert (place.is_symlink(), place.read_bytes()) == (False, b"x")
    assert victim.read_bytes() == b"precious"
    assert not list(folder.glob("*.tmp"))


def test_a_disk_that_refuses_leaves_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = derived(folder)
    file.replace(lambda _: b"old", wait_s_max=0)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "read-only")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refuse)
        with pytest.raises(StoreReadOnly):
            file.replace(lambda _: b"new", wait_s_max=0)

    assert (folder / STATUS_BOARD).read_bytes() == b"old"
    assert not list(folder.glob("*.tmp"))


def test_what_a_killed_writer_left_is_no_obstacle(folder: Path) -> None:
    (folder / f"{STATUS_BOARD}.tmp").write_bytes(b"half")

    assert derived(folder).replace(lambda _: b"x", wait_s_max=0) is True
    assert not list(folder.glob("*.tmp"))


def test_a_child_forked_while_it_is_written_does_not_keep_the_turn(folder: Path) -> None:
    ready, go = os.pipe(), os.pipe()
    pids = []

    def make(_: bytes) -> bytes:
        pid = os.fork()
        if pid == 0:
            os.write(ready[1], b"!")
            os.read(go[0], 1)  # lives on, as a worker would
            os._exit(0)
        pids.append(pid)
        os.read(ready[0], 1)
        return b"x"

    derived(folder).replace(make, wait_s_max=0)

    try:
        turn = os.open(folder / layout.JOURNAL_FOLDER / f"{STATUS_BOARD}.turn", os.O_RDWR)
        assert guard.try_lock(turn, shared=False)
        os.close(turn)
    finally:
        os.write(go[1], b"!")
        assert os.waitpid(pids[0], 0)[1] == 0
        for fd in (*ready, *go):
            os.close(fd)


def test_a_group_shares_it_where_the_store_is_shared(folder: Path) -> None:
    derived(folder, 0o660).replace(lambda _: b"x", wait_s_max=0)

    assert (folder / STATUS_BOARD).stat().st_mode & 0o777 == 0o660
    assert (folder / layout.JOURNAL_FOLDER / f"{STATUS_BOARD}.turn").stat().st_mode & 0o777 == 0o660
