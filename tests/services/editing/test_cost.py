"""What the look before and after a shell call costs: less than a person or a model ever notices."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from latchboard import Latchboard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 0.005
YARDS_MAX = 12
"""What the limit is on a machine that does nothing else, in times of asking the system about each file."""

pytestmark = pytest.mark.slow  # it measures: not beside other tests of the fast lane, nor under coverage


def hold(root: Path, count: int, text: bytes) -> None:
    """`count` files, held by fifteen agents, all with images; none was changed so lately that it has to be read."""
    names = [f"file{n}.py" for n in range(count)]
    for name in names:
        (root / name).write_bytes(text)
    last = time.time()
    while time.time() - last < 0.05:  # until the files are older than any two changes that could have one time
        (root / "clock").write_text("")
    board = Latchboard(root, publishes=False)
    for number in range(15):
        mine = names[number::15]
        begun = board.editing.begin(f"agent-{number}", mine)
        assert begun.refusal is None
        board.editing.done(f"agent-{number}", mine)
    board.close()


def took_s(root: Path, look: Callable[[Latchboard], object]) -> tuple[float, float]:
    """The least of several times, each with a store that has just been opened, as in a hook; and a yardstick.

    The yardstick is to ask the system about every file, at the same moments: a processor that serves others too gives
    both of them half of what it gives alone.
    """
    files = [os.fspath(path) for path in root.glob("*.py")]
    best = yard = 1.0
    for _ in range(20):
        began = time.process_time()
        for file in files:
            os.lstat(file)
        yard = min(yard, time.process_time() - began)
        board = Latchboard(root, publishes=False)
        began = time.process_time()
        look(board)
        best = min(best, time.process_time() - began)
        board.close()
    return best, yard


@pytest.mark.parametrize("when", ["before", "after"])
def test_three_hundred_held_files_cost_five_milliseconds(tmp_path: Path, when: str) -> None:
    hold(tmp_path, 300, b"some text\n" * 100)

    if when == "before":
        spent_s, yard_s = took_s(tmp_path, lambda board: board.foreign.before_call("B"))
    else:
        spent_s, yard_s = took_s(tmp_path, lambda board: board.foreign.after_call("B"))

    assert spent_s <= max(LIMIT_S, YARDS_MAX * yard_s)


def test_what_is_unchanged_is_not_read_again(tmp_path: Path) -> None:
    hold(tmp_path, 30, b"x" * 1024 * 1024)  # to hash them takes ten times the limit

    assert took_s(tmp_path, lambda board: board.foreign.after_call("B"))[0] <= LIMIT_S
