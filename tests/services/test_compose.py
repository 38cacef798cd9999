"""Services built by compose over the file store, in one process: what only shows when a real thread publishes."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.store.files import layout
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.process.nursery import until

pytestmark = pytest.mark.process


def board_of(root: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((root / layout.FOLDER / layout.STATUS_BOARD).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def test_another_store_has_everything_but_the_file(tmp_path: Path) -> None:
    clock = ManualClock()
    board = Latchboard(tmp_path, store=MemoryStore(clock=clock), clock=clock, host=FakeHost())

    with board.agent("a").lock("x.txt"):
        board.board.update("a", "thinking")
        assert board.board.read()["agents"]["a"]["holds"] == ["x.txt"]
    assert board.board.publish() is False
    assert board.cleanup.run().removed_count == 0
    assert [e["event"] for e in board.stream.events("lock.", after=0, timeout_s=0)] == [
        "lock.acquired",
        "lock.released",
    ]
    board.close()
    assert list(tmp_path.iterdir()) == []


def test_the_publisher_ends_by_itself_and_starts_again(tmp_path: Path) -> None:
    board = Latchboard(tmp_path)
    assert board._publisher is not None

    for name in ("x.txt", "y.txt"):
        board.agent("a").lock(name)
        until(
            lambda wanted=name: wanted in [e["name"] for e in board_of(tmp_path).get("active_locks", [])], "it is shown"
        )
        until(lambda: not board._publisher._is_running, "the thread has ended")  # type: ignore[union-attr]

    board.close()


def test_closing_writes_what_the_publisher_has_not_written_yet(tmp_path: Path) -> None:
    board = Latchboard(tmp_path)
    for number in range(20):
        board.agent("a").lock(f"f{number}.txt")

    board.close()

    assert len(board_of(tmp_path)["active_locks"]) == 20


def test_a_folder_that_is_wiped_while_it_publishes_is_begun_anew(tmp_path: Path) -> None:
    board = Latchboard(tmp_path)
    board.agent("a").lock("x.txt")
    until(lambda: board_of(tmp_path).get("active_locks"), "the board is there")
    assert board._publisher is not None

    def wiped() -> bool:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        return not (tmp_path / "data").exists()

    until(wiped, "it is gone")
    board.agent("a").lock("y.txt")

    until(lambda: [e["name"] for e in board_of(tmp_path).get("active_locks", [])] == ["y.txt"], "the new one is shown")
    assert [e["name"] for e in board.board.read()["active_locks"]] == ["y.txt"]
    board.close()


def test_threads_share_a_board_while_it_is_published(tmp_path: Path) -> None:
    board = Latchboard(tmp_path)
    trouble: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                found = board.board.read()
                assert {e["name"] for e in found["active_locks"]} <= {f"f{n}.txt" for n in range(3)}
        except BaseException as exc:
            trouble.append(exc)
            raise

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        with board.agent("a").lock(f"f{turn % 3}.txt"):
            board.board.update("a", f"turn {turn}")
    done.set()
    for thread in threads:
        thread.join()
    board.close()

    assert trouble == []
    assert board_of(tmp_path) == Latchboard(tmp_path, publishes=False).board.read()
