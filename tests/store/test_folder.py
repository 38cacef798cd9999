"""The folder of a store: planted, wiped, copied, restored, shared, or on a mount that lies about locks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latchboard.errors import (
    Compacted,
    CoordinationError,
    MalformedRecord,
    StoreError,
    StoreUnavailable,
    UnsafeFolder,
    UsageError,
)
from latchboard.settings import Settings
from latchboard.store.files import folder, guard, layout
from latchboard.store.files.store import FileStore
from latchboard.testing.clock import ManualClock
from tests.store.scenes import Scene, State, open_files, quietly

if TYPE_CHECKING:
    from latchboard.store.port import View

A: State = {"locks/a": {"n": 1}, "agents/x": {"n": 1}, "waiters/r": {"n": 1}}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path / "project")
    yield scene
    scene.store.close()


# -- planted things (failures 3.26) -----------------------------------------------------------------------------------


def _symlink(path: Path) -> None:
    victim = path.parent.parent / f"victim-{path.name}"
    victim.write_text("precious")
    path.symlink_to(victim)


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _symlink_to_folder(path: Path) -> None:
    victim = path.parent.parent / f"victims-{path.name}"
    victim.mkdir()
    path.symlink_to(victim)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the whole path may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "in-it").write_text("x")


PLANTS = (_symlink, _dangling, _symlink_to_folder, _fifo, _socket, _folder)


@pytest.fixture(params=PLANTS, ids=lambda plant: plant.__name__.strip("_"))
def plant(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Puts something that is no file where a path leads, and takes away what was there."""

    def put(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        request.param(path)

    return put


def _outside(scene: Scene) -> dict[str, str]:
    """What lies outside the places of the store, where a symbolic link could have led it."""
    found = {}
    for path in [*scene.root.rglob("victim*"), *scene.root.rglob("victims*/*")]:
        if path.is_file():
            found[path.name] = path.read_text()
    return found


@pytest.mark.parametrize("key", ["locks/a", "agents/x"])
def test_planted_record_is_never_free_and_leads_nowhere__failure_3_26(
    scene: Scene, plant: Callable[[Path], None], key: str
) -> None:
    scene.commit(A)
    scene.reopen()
    plant(scene.record(key))
    before = _outside(scene)
    collection = key.partition("/")[0] + "/"

    for call in (
        lambda: scene.store.read(key).get(key),
        lambda: scene.store.read(collection).scan(collection),
        lambda: scene.store.transact(lambda view: view.get(key), who="a"),
    ):
        with pytest.raises(MalformedRecord):
            call()
    damaged: list[MalformedRecord] = []
    scene.store.read(collection).scan(collection, damaged=damaged)
    assert len(damaged) == 1
    assert scene.store.read("waiters/r").get("waiters/r") == {"n": 1}
    try:
        scene.commit({key: {"n": 2}})  # without looking, as an operator's break does
    except MalformedRecord:
        assert scene.record(key).is_dir()
    else:
        assert scene.store.read(key).get(key) == {"n": 2}
    assert _outside(scene) == before


def test_planted_record_can_be_deleted_or_says_that_it_cannot__failure_3_26(
    scene: Scene, plant: Callable[[Path], None]
) -> None:
    scene.commit(A)
    scene.reopen()
    plant(scene.record("locks/a"))
    before = _outside(scene)

    try:
        scene.commit({}, "locks/a")
    except MalformedRecord:
        assert scene.record("locks/a").is_dir()
    else:
        assert scene.store.read("locks/a").get("locks/a") is None

    scene.commit({"wide": {}})
    assert _outside(scene) == before


@pytest.mark.parametrize("name", ["FORMAT", "journal/guard", "current journal", "journal", ".", "agents", "messages/y"])
def test_planted_part_of_the_store_stops_it_or_does_no_harm__failure_3_26(
    scene: Scene, plant: Callable[[Path], None], name: str
) -> None:
    scene.commit(A)
    scene.store.close()
    path = scene.journal() if name == "current journal" else scene.path / name
    plant(path)
    before = _outside(scene)

    for _ in range(2):
        store = scene.reopen()
        calls: list[Callable[[], object]] = [
            partial(scene.commit, {"agents/z": {}}),
            partial(scene.commit, {"messages/y/1": {}}),
            partial(scene.commit, {}, "agents/x"),
            lambda: store.transact(lambda view: view.get("locks/a"), who="a"),  # noqa: B023 - called at once
            lambda: store.read("locks/a").get("locks/a"),  # noqa: B023
            lambda: store.read("agents/", "messages/").scan("agents/"),  # noqa: B023
            scene.history,
            lambda: store.bell("waiters/r").close(),  # noqa: B023
        ]
        for call in calls:
            quietly(call, CoordinationError)

    assert _outside(scene) == before


@pytest.mark.parametrize("key", ["locks/new", "agents/x", "agents/new"])
def test_planted_temporary_file_is_no_obstacle__failure_3_26(
    scene: Scene, plant: Callable[[Path], None], key: str
) -> None:
    scene.commit(A)
    plant(Path(f"{scene.record(key)}.tmp"))
    before = _outside(scene)

    scene.commit({key: {"n": 2}})

    assert scene.store.read(key).get(key) == {"n": 2}
    assert _outside(scene) == before


def test_planted_bell_is_no_trap__failure_3_26(scene: Scene, plant: Callable[[Path], None]) -> None:
    scene.commit(A)
    path = scene.path / layout.bell("waiters/r")
    plant(path)
    before = _outside(scene)

    scene.commit({"waiters/r": {"n": 2}})
    try:
        bell = scene.store.bell("waiters/r")
    except StoreError:
        assert path.is_dir()
    else:
        scene.commit({"waiters/r": {"n": 3}})
        assert ManualClock().wait([bell], 1.0)
        bell.close()

    assert _outside(scene) == before


def test_folder_planted_after_the_commit_was_appended_stops_nobody(scene: Scene) -> None:
    scene.commit({"locks/a": {"n": 1}})
    header = scene.guard.read_bytes()
    scene.commit({"locks/a": {"n": 2}, "locks/b": {"n": 2}})
    scene.commit({}, "locks/b")
    state = scene.state()
    scene.store.close()
    scene.guard.write_bytes(header)
    for key in ("locks/a", "locks/b"):
        scene.record(key).unlink(missing_ok=True)
        _folder(scene.record(key))

    scene.commit({"wide": {}})

    assert scene.state() == {**state, "wide": {}}


def test_everything_is_opened_for_this_process_alone__failure_3_8(scene: Scene) -> None:
    before = set(os.listdir("/proc/self/fd"))
    scene.commit(A)
    bell = scene.store.bell("waiters/r")
    watch = scene.store.watch("", after=0)
    watch.poll()

    ours = set(os.listdir("/proc/self/fd")) - before
    inherited = [fd for fd in ours if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(int(fd))]

    assert [fd for fd in inherited if "inotify" not in os.readlink(f"/proc/self/fd/{fd}")] == []
    watch.close()
    bell.close()


# -- wiped ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["data", "data/.agent_locks", "data/.agent_locks/journal"])
def test_wiped_folder_is_made_again_and_gives_no_token_again__failure_3_13(scene: Scene, what: str) -> None:
    other = scene.open()
    last = scene.commit(A)
    assert other.read("locks/a").get("locks/a") == {"n": 1}
    scene.clock.advance(1.0)

    shutil.rmtree(scene.root / what)

    kept = A if what == "data/.agent_locks/journal" else {}
    revision = other.transact(lambda view: view.put("locks/b", {"n": 2}), who="b").revision
    assert revision > last
    assert scene.commit({"locks/c": {"n": 3}}) > revision
    assert scene.state() == {**kept, "locks/b": {"n": 2}, "locks/c": {"n": 3}}
    other.close()


def test_four_stores_agree_on_one_guard_after_it_was_deleted__failure_3_3(scene: Scene) -> None:
    stores = [scene.open() for _ in range(4)]

    def put(number: int, key: str) -> int:
        return stores[number % 4].transact(lambda view: view.put(key, {"n": number}), who="a").revision

    for n in range(4):
        put(n, f"agents/{n}")
    scene.guard.unlink()
    revisions = [put(n, "locks/a") for n in range(12)]

    assert revisions == sorted(set(revisions))
    assert {store._folder._identity for store in stores if store._folder} == {_identity(scene.guard)}
    assert scene.state()["locks/a"] == {"n": 11}
    for store in stores:
        store.close()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def test_folder_wiped_inside_a_transaction_loses_the_guard_and_says_so(scene: Scene) -> None:
    scene.commit(A)

    def fn(view: View) -> None:
        view.put("agents/new", {})
        shutil.rmtree(scene.path)

    with pytest.raises(StoreError):
        scene.store.transact(fn, who="a")

    scene.commit({"agents/x": {"n": 2}})
    assert scene.state() == {"agents/x": {"n": 2}}


def test_watch_of_a_wiped_folder_says_so_and_a_new_one_goes_on(scene: Scene) -> None:
    last = scene.commit(A)
    watch, unread = scene.store.watch("", after=0), scene.store.watch("", after=last)
    assert len(watch.poll()) == len(A)
    shutil.rmtree(scene.root / "data")

    with pytest.raises(Compacted):
        watch.poll()
    scene.clock.advance(1.0)
    scene.commit({"locks/b": {}})
    for lost in (watch, unread):
        with pytest.raises(Compacted):
            lost.poll()
        lost.close()

    assert [key for _, key, _ in scene.history()] == ["locks/b"]


# -- copied and restored ----------------------------------------------------------------------------------------------


def test_two_copies_that_both_write_part_ways(scene: Scene, tmp_path: Path) -> None:
    revision = scene.commit(A)
    shutil.copytree(scene.root, tmp_path / "copy", copy_function=shutil.copy2)
    copy = Scene(tmp_path / "copy", clock=scene.clock)
    assert copy.state() == A

    ours = [scene.commit({"locks/a": {"n": n}}) for n in range(20)]
    theirs = [copy.commit({"locks/a": {"n": -n}}) for n in range(20)]

    assert not set(ours) & set(theirs)
    assert min(*ours, *theirs) > revision
    assert scene.first_line()["store_id"] != copy.first_line()["store_id"]
    assert scene.state()["locks/a"] == {"n": 19}
    assert copy.state()["locks/a"] == {"n": -19}
    assert len(copy.history(after=revision)) == 20
    copy.store.close()


def test_backup_put_back_beneath_an_open_store_gives_no_revision_again__failure_3_13(scene: Scene) -> None:
    scene.commit({"agents/a": {"n": 0}})
    files = [scene.guard, scene.journal(), scene.record("agents/a")]
    backup = {path: path.read_bytes() for path in files}
    given = [scene.commit({"agents/a": {"n": n}}) for n in range(1, 4)]

    for path, data in backup.items():
        path.write_bytes(data)  # the same inodes

    assert scene.commit({"agents/b": {}}) > given[-1]
    assert scene.state() == {"agents/a": {"n": 0}, "agents/b": {}}


def test_restored_backup_gives_no_revision_again__failure_3_13(scene: Scene, tmp_path: Path) -> None:
    for attempt in range(5):
        scene.commit({"locks/a": {"n": attempt}})
        scene.store.close()
        backup = tmp_path / f"backup-{attempt}"
        shutil.copytree(scene.root / "data", backup, copy_function=shutil.copy2)
        last = [scene.commit({"locks/b": {"n": n}}) for n in range(3)][-1]
        scene.store.close()

        shutil.rmtree(scene.root / "data")  # whose inode numbers the copy may well get
        shutil.copytree(backup, scene.root / "data", copy_function=shutil.copy2)

        assert scene.commit({"locks/b": {"n": "restored"}}) > last
        assert scene.state()["locks/b"] == {"n": "restored"}


def test_moved_folder_is_the_same_store(scene: Scene, tmp_path: Path) -> None:
    first = scene.commit(A)
    store_id = scene.first_line()["store_id"]
    scene.store.close()
    scene.root.rename(tmp_path / "moved")
    moved = Scene(tmp_path / "moved", clock=scene.clock)

    second = moved.commit({"locks/b": {}})

    assert second - first < 10**6
    assert moved.first_line()["store_id"] == store_id
    moved.store.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_project_that_was_moved_away_does_not_come_back_empty(tmp_path: Path, shared: bool) -> None:
    """A process that had it open would else make `data` there again, and be told that everything is free."""
    scene = Scene(tmp_path / "here", settings=Settings(shared=shared))
    scene.commit(A)
    scene.root.rename(tmp_path / "moved")

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=f"no project folder {tmp_path}/here") as refused:
            scene.commit({"locks/b": {}})

    assert refused.value.exit_status == 13
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    (tmp_path / "moved").rename(scene.root)
    scene.commit({"locks/b": {}})
    assert {*A} < {*scene.state()}
    scene.store.close()


# -- rights and modes -------------------------------------------------------------------------------------------------


def test_folder_is_for_its_user_alone__failure_3_27(scene: Scene) -> None:
    previous = os.umask(0)
    try:
        scene.commit({**A, "messages/x/1": {}})
    finally:
        os.umask(previous)

    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [scene.path, *scene.path.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_shared_folder_is_for_the_group_whatever_the_umask__failure_3_27(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        scene = Scene(tmp_path / "p", Settings(shared=True, journal_bytes_max=500))
        for n in range(10):
            scene.commit({**A, "messages/x/1": {"n": n}})
    finally:
        os.umask(previous)

    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [scene.path, *scene.path.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o2770}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o660}
    assert stat.S_IMODE(scene.path.parent.lstat().st_mode) == 0o2770  # it was not there either
    scene.store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="not applicable: root may write everywhere")
def test_folder_that_may_not_be_written_can_be_read(scene: Scene) -> None:
    scene.commit(A)
    scene.store.close()
    for path in [scene.path, *scene.path.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)

    try:
        assert scene.state() == A
        with pytest.raises(StoreError) as caught:
            scene.commit({"locks/b": {}})
    finally:
        for path in [scene.path, *scene.path.rglob("*")]:
            path.chmod(0o700)
    assert caught.value.code == "store-forbidden"


def test_what_a_reader_opened_does_not_bind_the_writer(scene: Scene) -> None:
    scene.commit(A)
    store = scene.open()
    store.read("locks/a")
    store.read("locks/")

    store.transact(lambda view: view.put("locks/b", {}), who="a")

    assert store.read("locks/b").get("locks/b") == {}
    store.close()


# -- mounts that lie (failures 3.7) -----------------------------------------------------------------------------------


def test_mount_where_locks_do_not_exclude_is_refused__failure_3_7(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "flock", lambda fd, flags: None)

    with pytest.raises(UnsafeFolder) as caught:
        scene.commit(A)

    assert caught.value.fields["path"] == str(scene.path)
    monkeypatch.undo()
    scene.commit(A)


def test_mount_where_locks_exclude_in_one_process_only_is_refused__failure_3_7(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, parent = guard.flock, os.getpid()  # type: ignore[attr-defined]
    monkeypatch.setattr(guard, "flock", lambda fd, flags: flock(fd, flags) if os.getpid() == parent else None)

    with pytest.raises(UnsafeFolder):
        scene.commit(A)


def test_copy_to_a_mount_that_lies_is_refused__failure_3_7(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.commit(A)
    shutil.copytree(scene.root, tmp_path / "copy")
    copy = Scene(tmp_path / "copy", clock=scene.clock)
    monkeypatch.setattr(guard, "flock", lambda fd, flags: None)

    with pytest.raises(UnsafeFolder):
        copy.commit(A)

    scene.commit(A)
    copy.store.close()


def test_self_test_works_where_children_are_not_waited_for(scene: Scene) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        scene.commit(A)
    finally:
        signal.signal(signal.SIGCHLD, previous)

    assert scene.state() == A


def test_self_test_works_where_no_child_can_be_made(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoFork:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def fork(self) -> int:
            raise BlockingIOError(11, "no process to be had")

    monkeypatch.setattr(folder, "os", NoFork())

    scene.commit(A)

    assert scene.state() == A


# -- stores come and go -----------------------------------------------------------------------------------------------


def test_closed_store_opens_again_by_itself_and_frees_everything(scene: Scene) -> None:
    before = open_files()
    for _ in range(3):
        scene.commit(A)
        scene.store.read("locks/")
        scene.store.close()
        scene.store.close()
        assert open_files() <= before


def test_forgotten_store_frees_everything(tmp_path: Path) -> None:
    before = open_files()
    store = FileStore(str(tmp_path), clock=ManualClock())
    store.transact(lambda view: view.put("locks/a", {}), who="a")
    watch = store.watch("", after=0)
    assert open_files() - before

    watch.close()
    del store, watch

    assert open_files() <= before


def test_bell_or_close_inside_a_transaction_is_refused(scene: Scene) -> None:
    def fn(view: View) -> None:
        for call in (lambda: scene.store.bell("waiters/r"), scene.store.close):
            with pytest.raises(UsageError):
                call()

    scene.store.transact(fn, who="a")
