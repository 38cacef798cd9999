"""The daemon's record: read as it is whatever it is, removed only as what was judged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latchboard.errors import CoordinationError
from latchboard.host.daemon_entry import FOLDER, DaemonEntry
from latchboard.host.registry import Registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / FOLDER
    made.mkdir(parents=True)
    return made


def test_nothing_is_nothing(tmp_path: Path) -> None:
    entry = DaemonEntry(str(tmp_path)).read()

    assert (entry.pid_file, entry.record, entry.facts()) == (None, None, None)
    assert not DaemonEntry(str(tmp_path)).remove(entry)
    assert not (tmp_path / "data").exists()


def test_what_was_judged_goes_and_the_lock_file_stays(tmp_path: Path, folder: Path) -> None:
    (folder / "daemon.pid").write_text("1234\n")
    (folder / "daemon.json").write_text("{}")
    (folder / "daemon.lock").touch()
    files = DaemonEntry(str(tmp_path))

    assert files.remove(files.read())

    assert {path.name for path in folder.glob("daemon*")} == {"daemon.lock"}


@pytest.mark.parametrize("name", ["daemon.pid", "daemon.json"])
def test_what_was_written_since_stays(tmp_path: Path, folder: Path, name: str) -> None:
    (folder / "daemon.pid").write_text("1234\n")
    files = DaemonEntry(str(tmp_path))
    judged = files.read()
    (folder / name).write_text("{}")

    assert not files.remove(judged)

    assert (folder / "daemon.pid").exists()


def test_record_of_whoever_holds_the_lock_stays(tmp_path: Path, folder: Path) -> None:
    (folder / "daemon.pid").write_text("1234\n")
    files = DaemonEntry(str(tmp_path))
    registry = Registry(str(tmp_path), wait_s_max=1, look_at_mount=lambda path: None)
    with registry.at_desk(make=True) as desk:
        assert desk is not None
        seat = desk.sit("daemon.lock", 0)
    assert seat is not None

    assert not files.remove(files.read())
    seat.leave()
    assert files.remove(files.read())


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "garbage", "no json object", "deep"])
def test_hostile_record_says_nothing_and_raises_nothing(tmp_path: Path, folder: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_text('{"process": {"pid": 1}}')
    for name in ("daemon.pid", "daemon.json"):
        if kind == "folder":
            (folder / name).mkdir()
        elif kind == "fifo":
            os.mkfifo(folder / name)
        elif kind == "link":
            (folder / name).symlink_to(tmp_path / "elsewhere")
        else:
            content = {"garbage": b"\xff\0", "no json object": b"[1]", "deep": b"[" * 60000}[kind]
            (folder / name).write_bytes(content)

    entry = DaemonEntry(str(tmp_path)).read()

    assert entry.facts() is None
    if kind in ("folder", "fifo", "link"):
        assert entry.pid_file == entry.record == b""
    else:
        assert DaemonEntry(str(tmp_path)).remove(entry)


def test_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "daemon.pid").write_text("1234\n")
    (tmp_path / FOLDER).symlink_to(tmp_path / "other")
    files = DaemonEntry(str(tmp_path))

    with pytest.raises(CoordinationError, match="symbolic link"):
        files.remove(files.read())

    assert (tmp_path / "other" / "daemon.pid").exists()
