"""Tests in temporary folders find no board above them: a stray one fails the run, and is named."""

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
