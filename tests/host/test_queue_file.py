"""A queue file on the disk, and the shelf with what was last written to it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.host import queue_file
from latchboard.host.queue_file import QueueFile, read_any
from latchboard.host.queue_shelf import QueueShelf

BASE: dict[str, Any] = {"tasks": {"a": None}, "open": {}, "limits": {}}


@pytest.fixture
def shelf(tmp_path: Path) -> QueueShelf:
    made = QueueShelf(str(tmp_path), "/q.json", lambda: None)
    with made.turn(0):
        pass
    return made


def kept(tmp_path: Path, what: str) -> Path:
    return next((tmp_path / "queue_file").glob(f"*.{what}"))


def test_what_is_written_is_no_larger_than_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_file, "BYTES_MAX", 8)
    file = QueueFile(str(tmp_path), "q.json")

    file.write(b"12345678", instead_of=None)
    with pytest.raises(UsageError, match=r"q\.json would be larger than 8 bytes"):
        file.write(b"123456789", instead_of=b"12345678")

    assert (file.read(), read_any(file.path)) == (b"12345678", b"12345678")
    (tmp_path / "q.json").write_bytes(b"123456789")
    with pytest.raises(UsageError, match=r"q\.json is larger than 8 bytes"):
        read_any(file.path)


def test_what_is_read_alone_is_a_plain_file_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("q.json")
    os.mkfifo(tmp_path / "pipe")

    assert read_any(str(tmp_path / "link")) == b"{}"
    for name in ("pipe", "."):
        with pytest.raises(UsageError, match="is no plain file"):
            read_any(str(tmp_path / name))
    with pytest.raises(UsageError, match="there is no file"):
        read_any(str(tmp_path / "nothing"))


def test_which_of_two_was_written_the_file_itself_says(shelf: QueueShelf) -> None:
    older, newer = {**BASE, "limits": {"builder": 1}}, {**BASE, "limits": {"builder": 2}}
    shelf.note(older, b"older", unwritten=None)
    shelf.settle()
    shelf.note(newer, b"newer", unwritten=None)

    assert shelf.load(b"newer") == [newer]
    assert shelf.load(b"edited") == [older, newer]
    assert shelf.load(None) == []
    shelf.settle()
    assert shelf.load(b"edited") == [newer]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"format": 2}, {"format": None}, {"sha256": 5}, {"base": []}),
        *({"base": {**BASE, name: []}} for name in BASE),
    ],
)
def test_what_cannot_be_a_base_is_as_good_as_none(shelf: QueueShelf, tmp_path: Path, wrong: dict[str, Any]) -> None:
    shelf.note(BASE, b"x", unwritten=None)
    shelf.settle()
    path = kept(tmp_path, "base")
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))

    assert shelf.load(b"x") == []


def test_what_was_seen_is_not_written_again(shelf: QueueShelf, tmp_path: Path) -> None:
    shelf.see((1, 2), 3)
    before = kept(tmp_path, "seen").stat()

    shelf.see((1, 2), 3)
    assert kept(tmp_path, "seen").stat() == before
    shelf.see((1, 2), 4)

    assert shelf.seen() == ((1, 2), 4)
