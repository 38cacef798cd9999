"""The bell: heard by whoever may, harmless where there is none, and never in anybody's way."""

from __future__ import annotations

import os
import select
import stat
from contextlib import closing
from pathlib import Path

import pytest

from latchboard.supervision.record import Bell, ring


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / ".agent_pids"
    folder.mkdir(parents=True)
    return folder / "agents.bell"


def is_rung(bell: Bell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


@pytest.mark.parametrize("stands", ["nothing", "a bell", "a file", "a link"])
def test_a_bell_is_heard_whatever_stood_there(tmp_path: Path, path: Path, stands: str) -> None:
    if stands == "a bell":
        os.mkfifo(path)
    elif stands == "a file":
        path.write_text("mine")
    elif stands == "a link":
        path.symlink_to(tmp_path / "elsewhere")

    with closing(Bell(str(tmp_path))) as bell:
        assert bell.is_heard_by_all and stat.S_ISFIFO(path.lstat().st_mode) and not is_rung(bell)
        bell.clear()
        ring(str(tmp_path))
        assert is_rung(bell)
        bell.clear()
        assert not is_rung(bell)
    assert not (tmp_path / "elsewhere").exists()


def test_a_bell_that_is_rung_all_the_time_stops_nobody_and_is_silent_after_one_look(tmp_path: Path, path: Path) -> None:
    with closing(Bell(str(tmp_path))) as bell:
        for _ in range(70_000):  # more than the pipe takes
            bell.ring()
        ring(str(tmp_path))
        bell.clear()

        assert not is_rung(bell)


def test_where_there_can_be_no_bell_a_supervisor_hears_its_own_ends(tmp_path: Path) -> None:
    with closing(Bell(str(tmp_path / "none"))) as bell:
        assert not bell.is_heard_by_all
        bell.clear()
        bell.ring()
        assert is_rung(bell)
        bell.clear()
        assert not is_rung(bell)


@pytest.mark.parametrize("stands", ["nothing", "a file", "a link", "a folder", "a bell that nobody hears"])
def test_who_rings_where_no_bell_is_changes_nothing(tmp_path: Path, path: Path, stands: str) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    if stands == "a file":
        os.link(kept, path)
    elif stands == "a link":
        path.symlink_to(kept)
    elif stands == "a folder":
        path.mkdir()
    elif stands == "a bell that nobody hears":
        os.mkfifo(path)

    ring(str(tmp_path))

    assert kept.read_text() == "mine"
