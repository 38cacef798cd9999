"""The registry's guard and files: interrupts, a guard that is deleted while one waits, what blocks whoever opens it."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from latchboard.errors import StoreUnavailable
from latchboard.host.registry import Registry
from tests.interrupt import is_interrupted_at


def is_free(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some places are in __del__
def test_an_interrupt_at_any_place_leaves_the_guard_and_the_locks_free__failure_3_16(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), wait_s_max=5.0, look_at_mount=lambda path: None)

    def look_and_sit() -> None:
        with registry.at_desk(make=True) as desk:
            assert desk is not None
            assert desk.is_free("a.lock")
            seat = desk.sit("a.lock", 0)
        assert seat is not None
        seat.leave()

    look_and_sit()
    for number in range(1_000):
        is_interrupted = is_interrupted_at(number, look_and_sit)
        assert is_free(Path(registry.path, "guard")), number
        assert is_free(Path(registry.path, "a.lock")), number
        if not is_interrupted:
            break

    assert 20 < number < 999


def test_whoever_waited_for_a_guard_that_was_deleted_takes_the_new_one__failure_3_3(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), wait_s_max=30.0, look_at_mount=lambda path: None)
    with registry.at_desk(make=True):
        pass
    guard = Path(registry.path, "guard")
    found: list[bool] = []

    def wait() -> None:
        with registry.at_desk(make=False):
            found.append(is_free(guard))

    fd = os.open(guard, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    waiter = threading.Thread(target=wait)
    waiter.start()
    inode = os.fstat(fd).st_ino
    while not is_open_elsewhere(fd, inode):
        pass
    guard.unlink()
    os.close(fd)
    waiter.join(60)

    assert found == [False]


def is_open_elsewhere(fd: int, inode: int) -> bool:
    """Whether this process has that file open once more."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) != fd and os.fstat(int(name)).st_ino == inode:
                return True
        except OSError:  # closed meanwhile
            continue
    return False


def test_a_fifo_in_the_place_of_an_entry_blocks_nobody__failure_3_26(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), wait_s_max=5.0, look_at_mount=lambda path: None)
    seen: list[object] = []

    def look() -> None:
        with registry.at_desk(make=True) as desk:
            assert desk is not None
            os.mkfifo(Path(registry.path, "a.pid"))
            seen.append(desk.read("a.pid"))
            desk.write("a.pid", b"7\n")
            seen.append(desk.read("a.pid"))

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    looker.join(60)

    assert seen == [b"", b"7\n"]


def test_a_project_that_was_moved_away_does_not_come_back_with_a_registry_alone(tmp_path: Path) -> None:
    registry = Registry(f"{tmp_path}/here", wait_s_max=5.0, look_at_mount=lambda path: None)

    with pytest.raises(StoreUnavailable), registry.at_desk(make=True):
        pass

    assert list(tmp_path.iterdir()) == []
