"""The two ways to lock an open file: flock(2) itself, and that of Windows with a stand-in for `msvcrt`."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from latchboard import LockAcquireTimeout, MachineFileLock
from latchboard.host.kernel_lock import LOCKED_BYTE, PosixLock, WindowsLock, kernel_lock
from latchboard.host.lock_file import LockFiles


class Msvcrt:
    """As Windows locks: from the current position, per open file, freed when that is closed (underneath: flock)."""

    LK_NBLCK = 2

    def __init__(self, error: int = errno.EACCES) -> None:
        self.positions: set[int] = set()
        self.error = error
        self.trouble = 0

    def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
        assert (mode, nbytes) == (self.LK_NBLCK, 1)
        if self.trouble:
            raise OSError(self.trouble, os.strerror(self.trouble))
        self.positions.add(os.lseek(fd, 0, os.SEEK_CUR))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(self.error, os.strerror(self.error)) from None


@pytest.fixture
def two(tmp_path: Path) -> list[int]:
    (tmp_path / "x").write_bytes(b"record")
    return [os.open(tmp_path / "x", os.O_RDWR) for _ in range(2)]


def test_here_it_is_flock() -> None:
    assert isinstance(kernel_lock(), PosixLock)


def test_two_openings_of_one_file_exclude_each_other_until_one_is_closed(two: list[int]) -> None:
    lock = PosixLock()
    first, second = two

    assert lock.try_lock(first) is True
    assert lock.try_lock(first) is True
    assert lock.try_lock(second) is False
    os.close(first)
    assert lock.try_lock(second) is True
    os.close(second)


def test_trouble_is_not_taken_for_a_holder(two: list[int]) -> None:
    for fd in two:
        os.close(fd)

    with pytest.raises(OSError, match="Bad file descriptor"):
        PosixLock().try_lock(two[0])


@pytest.mark.parametrize("error", [errno.EACCES, errno.EAGAIN, errno.EDEADLK])
def test_windows_locks_one_byte_behind_every_record(two: list[int], error: int) -> None:
    msvcrt = Msvcrt(error)
    lock = WindowsLock(msvcrt)
    first, second = two

    assert lock.try_lock(first) is True
    assert lock.try_lock(second) is False
    assert msvcrt.positions == {LOCKED_BYTE}
    assert [os.read(fd, 10) for fd in two] == [b"record", b"record"]  # position and length are as they were
    os.close(first)
    assert lock.try_lock(second) is True
    os.close(second)


def test_windows_trouble_is_not_taken_for_a_holder(two: list[int]) -> None:
    msvcrt = Msvcrt()
    msvcrt.trouble = errno.EIO

    with pytest.raises(OSError, match="Input/output error"):
        WindowsLock(msvcrt).try_lock(two[0])
    for fd in two:
        os.close(fd)


def test_the_whole_lock_works_on_the_windows_way(tmp_path: Path) -> None:
    files = LockFiles(WindowsLock(Msvcrt()))
    path = tmp_path / "x.lock"

    with MachineFileLock(path, files=files) as hold:
        hold.check()
        with pytest.raises(LockAcquireTimeout):
            MachineFileLock(path, files=files, acquire_timeout_s=0.02).acquire()
    with MachineFileLock(path, files=files):
        pass
