"""What the tests are run in changes nothing: a board above their folders fails the run, signals are as by default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BOARD, TESTS, stray_boards


def test_boards_above_a_folder_are_found_and_its_own_is_not(tmp_path: Path) -> None:
    base = tmp_path / "a/b"
    (base / BOARD).mkdir(parents=True)
    assert stray_boards(base) == []

    (tmp_path / BOARD).mkdir(parents=True)
    assert stray_boards(base) == [str(tmp_path / BOARD)]


@pytest.mark.process
def test_run_below_a_board_fails_and_names_it(tmp_path: Path) -> None:
    (tmp_path / BOARD).mkdir(parents=True)
    options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base")]
    chosen = (
        str(Path(__file__).relative_to(TESTS.parent))
        + "::"
        + test_boards_above_a_folder_are_found_and_its_own_is_not.__name__
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, chosen],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{tmp_path / BOARD} is above" in done.stdout


@pytest.mark.process
def test_run_in_the_background_of_a_shell_has_its_signals() -> None:
    """There they are ignored, and a program that is started so ignores them, too: nothing would end what is to end."""
    chosen = "tests/host/test_ending.py::test_a_signal_comes_after_the_action_and_still_ends_the_process"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "20", chosen]

    done = subprocess.run(
        ["sh", "-c", 'trap "" INT QUIT HUP; exec "$@"', "sh", *words],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
