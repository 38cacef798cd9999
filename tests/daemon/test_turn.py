"""The turn: one at a time, over processes that die and registries that are wiped."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.daemon.turn import turn
from latchboard.errors import DaemonBusy
from latchboard.testing import ManualClock


def folder(root: Path) -> Path:
    return root / "data" / ".agent_pids"


def make(root: Path) -> None:
    folder(root).mkdir(parents=True, exist_ok=True)


def test_of_many_threads_one_is_at_it(tmp_path: Path) -> None:
    inside = most = 0
    together = threading.Barrier(8)

    def take() -> None:
        nonlocal inside, most
        together.wait()
        for _ in range(20):
            with turn(str(tmp_path), SystemClock(), lambda: make(tmp_path)):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=take) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert most == 1


def test_whoever_waits_too_long_is_told_where_to_look(tmp_path: Path) -> None:
    clock = ManualClock()
    mine = turn(str(tmp_path), clock, lambda: make(tmp_path))
    theirs = turn(str(tmp_path), clock, lambda: make(tmp_path), wait_s_max=3)

    with mine, pytest.raises(DaemonBusy) as caught, theirs:
        raise AssertionError("two at a time")

    assert caught.value.fields["waited_s"] == 3
    assert "serve.turn" in caught.value.hint
    with turn(str(tmp_path), clock, lambda: make(tmp_path), wait_s_max=0):
        pass


def test_after_the_registry_was_wiped_all_meet_on_the_new_file(tmp_path: Path) -> None:
    """Somebody waits on the file of a registry that is wiped and made anew: he must not be in beside the next one."""
    clock = ManualClock()
    waits = 0

    class Wiping(ManualClock):
        def wait(self, readables: object, timeout_s: float | None) -> bool:
            nonlocal waits
            waits += 1
            if waits == 1:
                shutil.rmtree(folder(tmp_path))
                first.__exit__(None, None, None)
            return super().wait([], timeout_s)

    first = turn(str(tmp_path), clock, lambda: make(tmp_path))
    first.__enter__()

    third = turn(str(tmp_path), clock, lambda: make(tmp_path), wait_s_max=0)
    with turn(str(tmp_path), Wiping(), lambda: make(tmp_path)), pytest.raises(DaemonBusy), third:
        raise AssertionError("two at a time")

    assert waits >= 1
