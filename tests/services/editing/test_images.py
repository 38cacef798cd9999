"""Images: taken, kept, and compared with what is there, on real files."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from latchboard import Latchboard
from latchboard.errors import MalformedRecord
from latchboard.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.store.port import View


@pytest.fixture
def board(tmp_path: Path) -> Latchboard:
    return Latchboard(tmp_path, publishes=False)


def note(board: Latchboard, name: str) -> None:
    """Take and put the image of a file, as an acquire does."""
    image = board.images.take(name)
    board.store.transact(lambda view: board.images.put(view, name, "a1", 1, image), who="a1")


def old(path: Path) -> None:
    """Make a file one that was last changed long ago, as far as its time of change goes."""
    os.utime(path, ns=(1_500_000_000_123_456_789,) * 2)


def changed(board: Latchboard) -> dict[str, object]:
    return {one.name: one.now for one in board.images.changed(board.store.read("images/"))}


def test_an_unchanged_file_is_its_image(board: Latchboard, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")

    note(board, "a.py")

    assert changed(board) == {}


def test_bytes_are_kept_by_their_digest_for_their_user_alone(board: Latchboard, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")

    image = board.images.take("a.py")

    assert image is not None
    assert image["kept"]
    place = tmp_path / "data/.agent_locks/kept" / image["sha256"]
    assert place.read_text() == "one"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert board.images.kept.read(image["sha256"]) == b"one"


def test_bytes_that_are_not_what_their_name_says_are_not_read(board: Latchboard, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")
    image = board.images.take("a.py")
    assert image is not None

    (tmp_path / "data/.agent_locks/kept" / image["sha256"]).write_text("two")

    assert board.images.kept.read(image["sha256"]) is None


def test_a_changed_file_is_found_even_with_its_size_and_times_as_they_were(board: Latchboard, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one")
    old(path)
    note(board, "a.py")

    path.write_text("two")
    old(path)

    found = changed(board)
    assert list(found) == ["a.py"]
    assert board.images.kept.read(found["a.py"]["sha256"]) == b"two"  # type: ignore[index]


def test_a_file_that_was_only_touched_is_not_changed(board: Latchboard, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one")
    note(board, "a.py")

    old(path)

    assert changed(board) == {}


def test_a_file_that_came_or_went_or_became_a_folder_or_a_link_is_changed(board: Latchboard, tmp_path: Path) -> None:
    for name in ("gone", "folder", "link"):
        (tmp_path / name).write_text("one")
    for name in ("gone", "folder", "link", "new"):
        note(board, name)

    (tmp_path / "gone").unlink()
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "new").write_text("two")

    found = changed(board)
    assert set(found) == {"gone", "folder", "link", "new"}
    assert found["gone"] is None
    assert [found[n]["kind"] for n in ("folder", "link", "new")] == ["folder", "other", "file"]  # type: ignore[index]


def test_a_pipe_is_looked_at_and_not_opened_for_reading(board: Latchboard, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    image = board.images.take("pipe")

    assert image is not None
    assert (image["kind"], image["sha256"], image["kept"]) == ("other", "", False)


@pytest.mark.parametrize(("size", "kept", "read"), [(10, True, True), (11, False, True), (21, False, False)])
def test_a_large_file_is_known_by_less(tmp_path: Path, size: int, kept: bool, read: bool) -> None:
    board = Latchboard(tmp_path, settings=Settings(image_bytes_max=10, image_hash_bytes_max=20), publishes=False)
    (tmp_path / "a").write_bytes(b"x" * size)

    image = board.images.take("a")

    assert image is not None
    assert (image["size"], image["kept"], bool(image["sha256"])) == (size, kept, read)


def test_folders_globs_and_hard_links_have_no_image(board: Latchboard, tmp_path: Path) -> None:
    for name in ("src/", "glob:*.py", "hardlink:1-2"):
        note(board, name)

    assert board.store.read("images/").scan("images/") == []


def test_a_file_is_found_as_the_disk_spells_it(board: Latchboard, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("one")
    (tmp_path / "glob:x").write_text("one")
    for name in (str(outside), "./glob:x"):
        note(board, name)

    records = board.images.records(board.store.read("images/"))

    assert {r["name"]: r.get("path", "") for r in records} == {str(outside): "", "./glob:x": "glob:x"}
    assert changed(board) == {}


def test_an_image_that_cannot_be_read_is_named_where_it_is_asked_for(board: Latchboard, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")
    note(board, "a.py")

    def spoil(view: View) -> None:
        view.put("images/a.py", {**(view.get("images/a.py") or {}), "token": "x"})

    board.store.transact(spoil, who="a1")

    with pytest.raises(MalformedRecord):
        board.images.changed(board.store.read("images/a.py"), ["a.py"])
    assert changed(board) == {}


def test_bytes_that_nobody_refers_to_go_when_they_are_old(board: Latchboard, tmp_path: Path) -> None:
    kept = board.images.kept
    used, unused, young = (kept.keep(text) for text in (b"used", b"unused", b"young"))
    folder = tmp_path / "data/.agent_locks/kept"
    for digest in (used, unused):
        old(folder / digest)

    would = kept.sweep({used}, dry_run=True)
    gone = kept.sweep({used}, dry_run=False)

    assert would == gone == [unused]
    assert {path.name for path in folder.iterdir()} == {used, young}


def test_a_sweep_killed_between_its_two_steps_loses_nothing(board: Latchboard, tmp_path: Path) -> None:
    kept = board.images.kept
    used = kept.keep(b"used")
    folder = tmp_path / "data/.agent_locks/kept"
    (folder / used).rename(folder / f"{used}.going")

    assert kept.sweep({used}, dry_run=False) == []

    assert kept.read(used) == b"used"


def test_bytes_that_are_kept_again_are_young_again(board: Latchboard, tmp_path: Path) -> None:
    kept = board.images.kept
    digest = kept.keep(b"one")
    old(tmp_path / "data/.agent_locks/kept" / digest)

    kept.keep(b"one")

    assert kept.sweep(set(), dry_run=False) == []
