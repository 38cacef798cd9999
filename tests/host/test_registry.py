"""The registry's guard in a process whose signal handlers raise."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

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
