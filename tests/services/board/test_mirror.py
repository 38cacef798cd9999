"""What a store elsewhere has, as files that say that they are a mirror, and that nobody can take for records."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.board.mirror import Mirror
from latchboard.compose import engines
from latchboard.errors import MalformedRecord, StoreError, StoreUnavailable, UnsafeFolder, UnsupportedVersion
from latchboard.settings import Settings
from latchboard.store.files import records
from latchboard.store.files.filling import Filling
from latchboard.store.files.mirror import COLLECTIONS, MirrorFolder
from latchboard.store.memory import MemoryStore
from latchboard.store.port import Change
from latchboard.testing import FakeHost, ManualClock

OF = "etcd://h:2379/team"


class Scene:
    """A project whose store is elsewhere, with a mirror of it."""

    def __init__(self, root: Path, *, commits_kept_count: int = 1000) -> None:
        clock = ManualClock()
        settings = Settings(store=OF)
        store = MemoryStore(clock=clock, commits_kept_count=commits_kept_count)
        self.board = Latchboard(root, settings=settings, clock=clock, host=FakeHost(), store=store, publishes=False)
        engines.mark(self.board)
        self.folder = root / "data/.agent_locks"
        self.mirror = self.another()

    def another(self) -> Mirror:
        shown = MirrorFolder(str(self.folder.parent.parent), shared=False)
        return Mirror(self.board.store, self.board.board, shown, of=OF, collections=COLLECTIONS)

    def files(self) -> dict[str, Any]:
        found = [*self.folder.glob("messages/*/*"), *self.folder.glob("broadcasts/*")]
        return {str(one.relative_to(self.folder)): json.loads(one.read_text()) for one in found}

    def sheet(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "status_board.json").read_text())
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_board_is_shown_as_it_is_and_says_that_it_is_a_mirror(scene: Scene) -> None:
    scene.board.agent("a").lock("x")

    assert scene.mirror.look()

    assert scene.sheet() == {**scene.board.board.read(), "mirror_of": OF}
    assert (scene.folder / "status_board.json").read_text().splitlines()[1] == f'"mirror_of":"{OF}",'
    assert (scene.folder / "status_board.json").stat().st_mode & 0o777 == 0o400


def test_messages_are_there_until_they_are_read_and_are_no_records(scene: Scene) -> None:
    scene.board.mailbox.send("a", "b", "hello")
    scene.mirror.look()

    ((name, shown),) = scene.files().items()
    assert (shown["body"], shown["mirror_of"], shown["key"]) == ("hello", OF, name.removesuffix(".json"))
    with pytest.raises(MalformedRecord):
        records.unpack(None, (scene.folder / name).read_bytes(), name)

    scene.board.mailbox.receive("b")
    scene.mirror.look()
    assert scene.files() == {}


def test_without_a_commit_nothing_is_looked_through_and_what_is_the_same_is_not_written_again(scene: Scene) -> None:
    scene.board.mailbox.send("a", "b", "hello")
    scene.mirror.look()
    (path,) = scene.folder.glob("messages/b/*")
    before = path.stat().st_ino, path.stat().st_mtime_ns

    assert not scene.mirror.look()
    scene.board.agent("a").lock("x")
    assert scene.mirror.look()

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    assert scene.sheet()["active_locks"]
    assert sorted(one.name for one in scene.folder.iterdir()) == ["FORMAT", "messages", "status_board.json"]


def test_what_an_earlier_daemon_left_goes_if_it_is_over(scene: Scene) -> None:
    scene.board.mailbox.send("a", "b", "hello")
    scene.mirror.look()
    (path,) = scene.folder.glob("messages/b/*")
    scene.board.mailbox.receive("b")
    (path.parent / "half.json.tmp").write_text("{")

    scene.another().look()

    assert list(scene.folder.glob("messages/*/*")) == []


def test_it_is_written_into_no_store_and_through_no_link(scene: Scene, tmp_path: Path) -> None:
    scene.board.mailbox.send("a", "b", "hello")
    (tmp_path / "other").mkdir()
    (scene.folder / "messages").symlink_to(tmp_path / "other")
    with pytest.raises(StoreError):
        scene.mirror.look()
    assert list((tmp_path / "other").iterdir()) == []

    (scene.folder / "messages").unlink()
    said = (scene.folder / "FORMAT").read_text()
    for text in (said.replace("elsewhere", "copying"), '{"format":1,"store_id":"9cba6a4f58d83ce3"}\n', "{"):
        (scene.folder / "FORMAT").write_text(text)
        with pytest.raises(UnsafeFolder):
            scene.mirror.look()
    assert not (scene.folder / "messages").exists()

    (scene.folder / "FORMAT").unlink()
    with pytest.raises(UnsafeFolder):
        scene.mirror.look()

    (scene.folder / "FORMAT").write_text(said)
    assert scene.mirror.look()
    assert len(scene.files()) == 1


def test_what_somebody_put_among_the_files_is_left_and_in_nobodys_way(scene: Scene) -> None:
    scene.board.mailbox.send("a", "b", "one")
    scene.mirror.look()
    (path,) = scene.folder.glob("messages/b/*")
    for place in (path, scene.folder / "status_board.json"):
        place.unlink()
        place.mkdir()
        (place / "theirs").write_text("x")
    (scene.folder / "messages" / "notes.txt").write_text("x")
    (scene.folder / "messages" / "link").symlink_to(scene.folder.parent)

    scene.another().look()

    assert json.loads(path.read_text())["body"] == "one"
    assert scene.sheet()["mirror_of"] == OF
    assert (scene.folder / "messages" / "notes.txt").read_text() == "x"
    assert len(list(scene.folder.rglob("theirs"))) == 2
    path.unlink()
    path.mkdir()
    scene.board.mailbox.receive("b")
    scene.mirror.look()
    assert path.is_dir()
    scene.another().look()
    scene.board.mailbox.send("a", "c", "two")
    scene.mirror.look()
    shutil.rmtree(scene.folder / "messages" / "c")
    scene.board.mailbox.receive("c")
    assert scene.mirror.look()


def test_nothing_is_left_open(scene: Scene) -> None:
    for _ in range(3):
        scene.board.mailbox.send("a", "b", "one")
        scene.another().look()
    shutil.rmtree(scene.folder / "messages")
    (scene.folder / "messages").symlink_to(scene.folder.parent)
    for _ in range(3):
        with pytest.raises(StoreError):
            scene.another().look()

    opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert [one for one in opened if one.startswith(str(scene.folder.resolve()))] == []


def test_pipe_where_the_format_belongs_is_not_waited_for(scene: Scene) -> None:
    (scene.folder / "FORMAT").unlink()
    os.mkfifo(scene.folder / "FORMAT")

    with pytest.raises(UnsafeFolder):
        scene.mirror.look()


def test_who_is_too_far_behind_shows_everything_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path, commits_kept_count=3)
    scene.board.mailbox.send("a", "b", "one")
    scene.mirror.look()
    scene.board.mailbox.receive("b")
    scene.board.mailbox.send("a", "b", "two")
    for _ in range(5):
        scene.board.mailbox.send("a", "c", "more")

    assert scene.mirror.look()

    assert sorted(one["body"] for one in scene.files().values()) == ["more"] * 5 + ["two"]
    assert not scene.mirror.look()


class Breaking:
    """A watch that gives out what there is, and breaks before it says that this was all."""

    def __init__(self, watch: Any, breaks_at: int = 2) -> None:
        self._watch = watch
        self._count = 0
        self._breaks_at = breaks_at
        self.is_closed = False

    def poll(self) -> list[Change]:
        self._count += 1
        if self._count == self._breaks_at:
            raise StoreUnavailable("etcd did not answer")
        return self._watch.poll()

    def close(self) -> None:
        self.is_closed = True
        self._watch.close()


def test_what_a_store_said_before_it_was_away_is_written_by_the_next_look(scene: Scene) -> None:
    scene.mirror.look()
    breaking: Any = Breaking(scene.mirror._watch)
    scene.mirror._watch = breaking
    scene.board.mailbox.send("a", "b", "one")
    with pytest.raises(StoreUnavailable):
        scene.mirror.look()

    assert breaking.is_closed
    assert scene.mirror.look()

    assert [one["body"] for one in scene.files().values()] == ["one"]
    assert not scene.mirror.look()


def test_while_the_store_is_away_nothing_is_begun_anew(scene: Scene) -> None:
    scene.mirror.look()
    breaking: Any = Breaking(scene.mirror._watch, breaks_at=1)
    scene.mirror._watch = breaking
    with pytest.raises(StoreUnavailable):
        scene.mirror.look()

    assert not breaking.is_closed
    assert not scene.mirror.look()


def test_message_that_cannot_be_read_keeps_no_other_from_being_shown(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    damaged = Latchboard(tmp_path / "files", settings=Settings(), publishes=False)
    damaged.mailbox.send("a", "b", "one")
    damaged.mailbox.send("a", "c", "two")
    (path,) = (tmp_path / "files").glob("data/.agent_locks/messages/b/*")
    path.write_text("{")
    shown = MirrorFolder(str(tmp_path), shared=True)

    assert Mirror(damaged.store, damaged.board, shown, of=OF, collections=COLLECTIONS).look()

    assert [one["body"] for one in scene.files().values()] == ["two"]
    assert (scene.folder / "status_board.json").stat().st_mode & 0o777 == 0o440
    damaged.close()


def test_what_the_disk_refused_is_written_by_the_next_look(scene: Scene, tmp_path: Path) -> None:
    scene.mirror.look()
    scene.board.mailbox.send("a", "b", "one")
    (tmp_path / "other").mkdir()
    (scene.folder / "messages").symlink_to(tmp_path / "other")
    with pytest.raises(StoreError):
        scene.mirror.look()

    (scene.folder / "messages").unlink()
    assert scene.mirror.look()

    assert [one["body"] for one in scene.files().values()] == ["one"]


def test_a_folder_that_came_back_shows_everything(scene: Scene) -> None:
    scene.board.mailbox.send("a", "b", "one")
    scene.mirror.look()
    shutil.rmtree(scene.folder)
    scene.board.mailbox.send("a", "b", "two")
    scene.mirror.look()
    assert not scene.folder.exists()

    engines.mark(scene.board)
    assert scene.mirror.look()

    assert sorted(one["body"] for one in scene.files().values()) == ["one", "two"]


def test_a_folder_that_was_wiped_is_not_made_again(scene: Scene) -> None:
    (scene.folder / "FORMAT").unlink()
    scene.folder.rmdir()
    scene.board.agent("a").lock("x")

    scene.mirror.look()

    assert not scene.folder.exists()


def test_a_copy_into_the_folder_takes_no_mirrored_message_for_a_record(scene: Scene, tmp_path: Path) -> None:
    scene.board.mailbox.send("a", "b", "hello")
    scene.mirror.look()
    with pytest.raises(UnsupportedVersion):
        Latchboard(tmp_path, settings=Settings(), publishes=False).mailbox.receive("b")

    filling = Filling(str(tmp_path), clock=ManualClock(), settings=Settings())
    filling.begin(7, OF)
    filling.finish()

    inbox = Latchboard(tmp_path, settings=Settings(), publishes=False).mailbox.receive("b")
    assert (list(inbox), inbox.damaged) == ([], [])


def test_who_has_files_needs_no_mirror(tmp_path: Path) -> None:
    assert Latchboard(tmp_path, publishes=False).mirror() is None
