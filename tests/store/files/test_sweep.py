from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from latchboard.errors import StoreForbidden
from latchboard.store.files import layout
from latchboard.store.files.store import FileStore
from latchboard.store.files.sweep import AGE_S_MIN, Sweeper
from latchboard.testing import ManualClock


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    store = FileStore(str(tmp_path), clock=ManualClock())
    store.transact(lambda view: view.put("messages/a.b/m", {"n": 1}), who="a")
    return store


def make_old(path: Path) -> None:
    then = time.time() - AGE_S_MIN - 5
    os.utime(path, (then, then))


def test_old_temporary_files_go_wherever_they_lie_and_young_ones_stay(store: FileStore) -> None:
    folder = Path(store.path)
    old = [folder / "x.lock.tmp", folder / "messages/a.b/m.json.tmp", folder / "journal/status_board.json.tmp"]
    for path in old:
        path.write_bytes(b"half")
        make_old(path)
    young = folder / "y.json.tmp"
    young.write_bytes(b"half")
    expected = sorted(str(path.relative_to(folder)) for path in old)

    assert Sweeper(store).sweep(dry_run=True) == expected
    assert all(path.exists() for path in old)
    assert Sweeper(store).sweep(dry_run=False) == expected
    assert [path.exists() for path in old] == [False] * 3
    assert young.exists()
    assert store.read("messages/a.b/m").get("messages/a.b/m") == {"n": 1}
    assert Sweeper(store).sweep(dry_run=False) == []


def test_bells_that_nobody_hears_go_and_those_of_waiters_stay(store: FileStore) -> None:
    heard = store.bell("waiters/heard")
    bells = Path(store.path) / layout.BELL_FOLDER
    os.mkfifo(bells / "deaf")
    os.mkfifo(bells / "young")
    (bells / "no-fifo").write_bytes(b"")
    for path in bells.iterdir():
        if path.name != "young":
            make_old(path)

    assert Sweeper(store).sweep(dry_run=False) == ["bells/deaf"]

    assert sorted(path.name for path in bells.iterdir()) == ["heard", "no-fifo", "young"]
    store.transact(lambda view: view.put("waiters/heard", {}), who="a")
    assert ManualClock().wait([heard], 0)
    heard.close()


def test_links_and_folders_that_look_like_leftovers_are_none(store: FileStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim.tmp"
    victim.write_bytes(b"precious")
    make_old(victim)
    (Path(store.path) / "link.tmp").symlink_to(victim)
    (Path(store.path) / "folder.tmp").mkdir()

    assert Sweeper(store).sweep(dry_run=False) == []
    assert victim.read_bytes() == b"precious"


def test_where_there_is_no_store_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "new"), clock=ManualClock())

    assert Sweeper(store).sweep(dry_run=False) == []
    assert not (tmp_path / "new").exists()


def test_a_folder_that_may_not_be_read_is_a_typed_error(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreForbidden):
        Sweeper(store).sweep(dry_run=False)
