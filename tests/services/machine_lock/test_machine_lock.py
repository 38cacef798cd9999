"""The machine lock as threads use it: what is written, who gets in, what is adopted, what is refused (K15, K16)."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from latchboard import (
    HoldCeilingReached,
    LockAcquireTimeout,
    LockFileGone,
    LockRecord,
    MachineFileLock,
    __version__,
    force_release,
    read_lock_record,
)
from latchboard.clock import SystemClock, iso
from latchboard.errors import HoldLost, StoreError, UnsafeFolder, UsageError
from latchboard.host.lock_file import LockFile, LockFiles
from latchboard.machine_lock import wait
from latchboard.machine_lock.ceiling import Ceiling
from latchboard.machine_lock.claim import Claim
from latchboard.testing import ManualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "locks" / "refresh.lock"


def leave_record(path: Path, age_s: float) -> None:
    """What a killed holder of another program has left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started_at = iso(SystemClock().now().wall_s - age_s)
    record = {"schema_version": 1, "pid": 99_999_999, "started_at": started_at, "host": "alpha", "version": "0"}
    path.write_text(json.dumps(record))


def impatient(path: Path) -> MachineFileLock:
    return MachineFileLock(path, acquire_timeout_s=0.05)


def in_thread(action: Any) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


# -- what is on the disk -----------------------------------------------------------------------------------------------


def test_the_record_is_right_inside_and_gone_after(path: Path) -> None:
    with MachineFileLock(path) as hold:
        record = read_lock_record(path)
        assert record is not None and record == hold.record
        text = json.loads(path.read_text())

    assert record.schema_version == text["schema_version"] == 1
    assert record.pid == text["pid"] == os.getpid()
    assert record.host == text["host"] == socket.gethostname()
    assert record.version == text["version"] == __version__
    assert record.started_at == text["started_at"]
    assert 0 <= record.age_s < 60
    assert read_lock_record(path) is None
    assert path.read_bytes() == b""


def test_folders_are_0700_and_files_0600_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        with MachineFileLock(path):
            pass
    finally:
        os.umask(before)

    assert [oct(folder.stat().st_mode & 0o7777) for folder in (path.parent, path.parent.parent)] == ["0o700"] * 2
    assert sorted(file.name for file in path.parent.iterdir()) == [".refresh.lock.anchor", "refresh.lock"]
    assert {oct(file.stat().st_mode & 0o7777) for file in path.parent.iterdir()} == {"0o600"}


def test_a_file_of_ours_that_others_could_read_becomes_private(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o644)

    with MachineFileLock(path):
        assert path.stat().st_mode & 0o7777 == 0o600


def test_files_are_never_unlinked(path: Path) -> None:
    with MachineFileLock(path):
        inodes = {file.name: file.stat().st_ino for file in path.parent.iterdir()}
    with MachineFileLock(path):
        pass
    force_release(path, only_if_age_s=0)

    assert {file.name: file.stat().st_ino for file in path.parent.iterdir()} == inodes


def test_a_relative_path_is_that_of_the_folder_it_was_given_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)
    lock = MachineFileLock("refresh.lock")
    monkeypatch.chdir("/")

    with lock:
        assert read_lock_record(path) is not None


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_who_does_not_get_it_in_time_is_told_which_lock_and_who_has_it(path: Path) -> None:
    with MachineFileLock(path):
        with pytest.raises(LockAcquireTimeout, match=r"was not free within 0\.05 s; process") as caught:
            impatient(path).acquire()
        assert read_lock_record(path) is not None

    assert caught.value.path == str(path) == caught.value.fields["path"]
    assert caught.value.fields["pid"] == os.getpid()
    assert caught.value.fields["waited_s"] >= 0.05
    assert caught.value.retryable and caught.value.exit_status == 10
    assert "waited for itself" in caught.value.hint


def test_a_timeout_of_zero_asks_once(path: Path) -> None:
    lock = MachineFileLock(path, acquire_timeout_s=0)
    with lock, pytest.raises(LockAcquireTimeout):
        lock.acquire()
    lock.acquire().release()


def test_threads_take_turns(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []
    lock = MachineFileLock(path, acquire_timeout_s=60)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(20):
            with lock as hold:
                inside.append(1)
                most.append(len(inside))
                hold.check()
                inside.pop()

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join()

    assert len(most) == 160
    assert max(most) == 1


def test_a_hold_that_was_acquired_by_hand_is_released_once(path: Path) -> None:
    hold = MachineFileLock(path).acquire()
    assert hold.is_live() and not hold.has_ended
    assert 0 < hold.remaining_s <= 10

    assert hold.release() is True
    assert hold.release() is False
    with pytest.raises(HoldLost, match="given back before"):
        hold.check()


def test_a_block_may_give_back_early(path: Path) -> None:
    with MachineFileLock(path) as hold:
        hold.release()
        impatient(path).acquire().release()


def test_an_error_of_the_block_goes_on_and_the_lock_is_free(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), MachineFileLock(path):
        _ = 1 / 0

    impatient(path).acquire().release()
    assert read_lock_record(path) is None


# -- stale records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age_s", [1.0, 120.0, -3600.0], ids=["young", "old", "from the future"])
def test_a_record_that_nobody_holds_is_adopted_at_once(
    path: Path, age_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    leave_record(path, age_s)

    with MachineFileLock(path, acquire_timeout_s=0) as hold:
        assert hold.adopted is not None and hold.adopted.pid == 99_999_999
        record = read_lock_record(path)
        assert record is not None and record.pid == os.getpid()

    assert "machine_lock.adopted" in caplog.text


def test_the_same_record_with_a_live_holder_is_waited_for(path: Path) -> None:
    with MachineFileLock(path):
        leave_record(path, 120)
        with pytest.raises(LockAcquireTimeout, match="longer than 60 s: it may be stuck"):
            impatient(path).acquire()
        assert force_release(path) is False
        record = read_lock_record(path)
        assert record is not None and record.is_stuck() and not record.is_stuck(200)


def test_force_release_clears_what_is_old_and_free_alone(path: Path) -> None:
    assert force_release(path) is False
    assert not path.parent.exists()

    leave_record(path, 5)
    assert force_release(path, only_if_age_s=60) is False
    assert read_lock_record(path) is not None

    leave_record(path, 120)
    assert force_release(path, only_if_age_s=60) is True
    assert read_lock_record(path) is None
    assert force_release(path, only_if_age_s=60) is False


def test_force_release_takes_nothing_from_a_holder(path: Path) -> None:
    with MachineFileLock(path) as hold:
        assert force_release(path, only_if_age_s=0) is False
        hold.check()
        leave_record(path, 120)
        assert force_release(path, only_if_age_s=60) is False
        hold.check()


def test_a_beginning_in_the_future_is_not_young_for_ever(path: Path) -> None:
    leave_record(path, -3600)
    record = read_lock_record(path)

    assert record is not None
    assert record.age_s == float("inf") and record.is_stuck()
    assert force_release(path) is True


def test_a_clock_that_is_set_does_not_change_the_age_of_a_hold(path: Path) -> None:
    clock = ManualClock()
    hold = MachineFileLock(path, clock=clock).acquire()
    clock.advance(5)
    clock.jump_wall(-86400)

    record = read_lock_record(path, clock=clock)
    hold.release()

    assert record is not None and record.age_s == 5.0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"null", b"\x00\xff", b'{"schema_version": 1}', b"x" * 5000]
)
def test_a_broken_record_is_none(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    assert read_lock_record(path) is None
    assert force_release(path, only_if_age_s=0) is False
    with MachineFileLock(path) as hold:
        assert hold.adopted is None


@pytest.mark.parametrize("content", [b'{"access_token": "t"}', b"x" * 70_000])
def test_somebodys_data_are_left_as_they_are(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(UsageError, match="data that are no lock's"):
        MachineFileLock(path).acquire()

    assert path.read_bytes() == content


# -- the ceiling -------------------------------------------------------------------------------------------------------


def test_a_thread_over_its_ceiling_is_refused_and_the_lock_is_free_soon(path: Path) -> None:
    clock = ManualClock()
    hold = MachineFileLock(path, clock=clock).acquire()
    watch = Ceiling(clock)
    watch._thread = threading.current_thread()  # swept by hand
    watch.watch(hold)

    clock.advance(9.99)
    watch.sweep()
    hold.check()
    clock.advance(0.01)
    watch.sweep()
    with pytest.raises(HoldCeilingReached) as caught:
        hold.check()
    with pytest.raises(LockAcquireTimeout):
        impatient(path).acquire()
    clock.advance(0.5)
    assert watch.sweep() == float("inf")

    assert caught.value.retryable
    assert caught.value.fields["held_s"] == 10.0
    assert hold.has_ended and hold.release() is False
    impatient(path).acquire().release()


def test_a_block_that_ends_after_its_ceiling_is_told(path: Path) -> None:
    clock = ManualClock()

    with pytest.raises(HoldCeilingReached), MachineFileLock(path, clock=clock):
        clock.advance(10)
    impatient(path).acquire().release()

    with pytest.raises(ZeroDivisionError) as caught, MachineFileLock(path, clock=clock):
        clock.advance(10)
        _ = 1 / 0
    assert "may be held for 10 s" in caught.value.__notes__[0]


def test_what_is_protected_is_done_under_the_lock_or_not_at_all(path: Path) -> None:
    clock = ManualClock()
    hold = MachineFileLock(path, clock=clock).acquire()
    done: list[str] = []

    def slow() -> str:
        clock.advance(60)
        watched = in_thread(lambda: done.append(f"freed: {hold.free_if_spent()}"))
        watched.join()
        done.append("written")
        return "result"

    assert hold.protect(slow) == "result"
    assert done == ["freed: False", "written"]
    with pytest.raises(HoldCeilingReached):
        hold.protect(lambda: done.append("too late"))
    assert done[-1] == "written"
    assert hold.free_if_spent() is True
    with pytest.raises(HoldCeilingReached):
        hold.protect(lambda: done.append("too late"))
    with pytest.raises(HoldCeilingReached):
        hold.protect(lambda: done.append("too late"), in_grace=True)
    assert done[-1] == "written"


@pytest.mark.slow  # it waits for the watch
def test_the_watch_frees_a_hold_that_is_left_behind(path: Path) -> None:
    clock = SystemClock()
    before_s = clock.now().mono_s
    left = MachineFileLock(path, max_hold_s=0.1).acquire()

    with MachineFileLock(path, acquire_timeout_s=60) as hold:
        assert hold.adopted is None
        assert left.has_ended
    assert clock.now().mono_s - before_s > 0.5
    with pytest.raises(HoldCeilingReached):
        left.check()


# -- deleted files (K17) -----------------------------------------------------------------------------------------------


def test_who_waits_for_a_lock_file_that_is_replaced_goes_on_to_the_new_one(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    claim = Claim(LockFiles(), str(path))
    with path.open() as held:  # by a program that knows no anchor
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not claim.attempt()
        path.unlink()
        path.touch()

    assert claim.attempt()
    assert claim.is_exclusive()
    claim.close()


def test_what_an_interrupt_kept_from_being_closed_is_closed_by_the_watch(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = MachineFileLock(path).acquire()

    def interrupted(file: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LockFile, "close", interrupted)
        hold.release()
    wait.ceiling.sweep()

    with MachineFileLock(path, acquire_timeout_s=0):
        pass


@pytest.mark.parametrize("name", ["refresh.lock", ".refresh.lock.anchor"])
def test_deleting_one_file_lets_nobody_in(path: Path, name: str) -> None:
    with MachineFileLock(path) as hold:
        (path.parent / name).unlink()
        with pytest.raises(LockAcquireTimeout):
            impatient(path).acquire()
        hold.check()

    with MachineFileLock(path) as hold:
        hold.check()
        assert read_lock_record(path) == hold.record


def test_deleting_both_files_makes_the_first_holder_fail(path: Path) -> None:
    written: list[str] = []
    with pytest.raises(LockFileGone, match="deleted or replaced"), MachineFileLock(path) as first:
        for file in path.parent.iterdir():
            file.unlink()
        with MachineFileLock(path) as second:
            second.check()
            with pytest.raises(LockFileGone):
                first.check()
            with pytest.raises(LockFileGone):
                first.protect(lambda: written.append("first"))
            assert second.protect(lambda: written.append("second")) is None

    assert written == ["second"]


def test_moving_the_folder_away_makes_the_first_holder_fail(path: Path) -> None:
    first = MachineFileLock(path).acquire()
    path.parent.rename(path.parent.with_name("moved"))

    with MachineFileLock(path) as second:
        assert second.is_live()
        assert not first.is_live()


def test_the_late_release_of_a_deleted_file_leaves_the_next_holder_alone(path: Path) -> None:
    first = MachineFileLock(path).acquire()
    for file in path.parent.iterdir():
        file.unlink()

    with MachineFileLock(path) as second:
        first.release()
        second.check()
        assert read_lock_record(path) == second.record


def test_waiters_of_a_deleted_file_meet_on_the_new_one(path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []
    holder = MachineFileLock(path).acquire()
    ready = threading.Barrier(5)

    def wait() -> None:
        ready.wait()
        with MachineFileLock(path, acquire_timeout_s=60):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [in_thread(wait) for _ in range(4)]
    ready.wait()
    path.unlink()
    holder.release()
    for thread in threads:
        thread.join()

    assert most == [1] * 4


def test_a_lock_file_that_another_program_put_there_counts_as_lost(path: Path) -> None:
    hold = MachineFileLock(path).acquire()
    path.unlink()
    path.touch()

    with pytest.raises(LockFileGone):
        hold.check()
    hold.release()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["refresh.lock", ".refresh.lock.anchor"])
def test_a_link_in_the_place_of_a_file_is_refused_and_not_written_through(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True)
    victim = path.parent / "victim"
    victim.write_text("precious")
    (path.parent / name).symlink_to(victim)

    with pytest.raises(UnsafeFolder, match="symbolic link"):
        MachineFileLock(path).acquire()
    (path.parent / name).unlink()
    (path.parent / name).hardlink_to(victim)
    with pytest.raises(UnsafeFolder, match="hard-linked"):
        MachineFileLock(path).acquire()

    assert victim.read_text() == "precious"
    assert victim.stat().st_mode & 0o777 != 0o600


def test_a_dangling_link_makes_nothing(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent / "elsewhere")

    with pytest.raises(UnsafeFolder):
        MachineFileLock(path).acquire()
    with pytest.raises(UnsafeFolder):
        read_lock_record(path)
    with pytest.raises(UnsafeFolder):
        force_release(path)

    assert not (path.parent / "elsewhere").exists()


def test_a_pipe_a_socket_and_a_folder_are_refused_and_nothing_hangs(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.mkdir()
    with pytest.raises(UnsafeFolder, match="no plain file"):
        MachineFileLock(path).acquire()
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UnsafeFolder, match="no plain file"):
        MachineFileLock(path).acquire()
    with pytest.raises(UnsafeFolder, match="no plain file"):
        read_lock_record(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        with pytest.raises(UnsafeFolder, match="no plain file"):
            MachineFileLock(path).acquire()


@pytest.mark.parametrize(
    "name", ["", "/", "..", ".", "x/", "x/..", "a\0b", "n" * 300, "d/" * 3000 + "x", "\ud800", None, 7, ["x"]]
)
def test_hostile_paths_are_refused_and_nothing_is_made(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="cannot be the path of a lock file"):
        MachineFileLock(name)
    with pytest.raises(UsageError):
        read_lock_record(name)
    with pytest.raises(UsageError):
        force_release(name)

    assert list(tmp_path.iterdir()) == []


def test_a_path_may_be_long_unicode_and_bytes(tmp_path: Path) -> None:
    for name in ("n" * 240, "prüfung 中.lock", "new\nline"):
        with MachineFileLock(tmp_path / name):
            assert read_lock_record(tmp_path / name) is not None
    with MachineFileLock(os.fsencode(tmp_path) + b"/\xff.lock"):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    "numbers", [{"max_hold_s": 0}, {"stale_after_s": -1}, {"acquire_timeout_s": float("nan")}, {"max_hold_s": True}]
)
def test_numbers_that_cannot_be_right_are_refused(path: Path, numbers: Any) -> None:
    with pytest.raises(UsageError, match="number of seconds"):
        MachineFileLock(path, **numbers)


def test_a_file_in_the_place_of_a_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError):
        MachineFileLock(tmp_path / "file" / "x.lock").acquire()
    assert read_lock_record(tmp_path / "file" / "x.lock") is None


def test_two_readings_of_one_record_are_equal(path: Path) -> None:
    leave_record(path, 5)

    assert read_lock_record(path) == read_lock_record(path)
    assert read_lock_record(path) != LockRecord(
        {"schema_version": 1, "pid": 1, "started_at": "x", "host": "", "version": ""}
    )
    assert "99999999" in repr(read_lock_record(path))
