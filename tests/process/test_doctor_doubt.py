"""What a damaged journal leaves in doubt is not compared with it, and no repair sets a record back (K25, K26)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latchboard.compose import doctoring
from tests.process.ward import Ward

pytestmark = pytest.mark.process


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    made = Ward(tmp_path, monkeypatch.setenv)
    yield made
    made.close()


def flip(journal: Path, line: bytes) -> None:
    """One bit of that line."""
    data = bytearray(journal.read_bytes())
    data[data.index(line) + 20] ^= 1
    journal.write_bytes(data)


def cut(journal: Path, line: bytes) -> None:
    """That line and all behind it: the end of the one before it is the end of the file."""
    data = journal.read_bytes()
    journal.write_bytes(data[: data.index(line)])


def handed_over(ward: Ward) -> bytes:
    """A lock of the planner's that the builder took over; the line of the journal that says so."""
    board = ward.fill(1)
    board.agent("gone").lock("src/1.py", bound="agent", ttl_s=0.001)
    board.agent("builder").lock("src/1.py", bound="agent", wait_s_max=5.0)
    board.close()
    return next(line for line in reversed(ward.journal().read_bytes().split(b"\n")) if b'"locks/src/1.py":{' in line)


def rotate(ward: Ward) -> Path:
    """A later journal is begun; the one before it."""
    older = ward.journal()
    board = ward.board(journal_bytes_max=600)
    while ward.journal() == older:
        board.mailbox.send("planner", "builder", "a letter")
    board.close()
    return older


def holders(ward: Ward) -> dict[str, list[str]]:
    board = ward.board()
    return {name: [one["agent"] for one in board.locks.check([name])] for name in ("src/0.py", "src/1.py", "src/2.py")}


HELD = {"src/0.py": ["planner"], "src/1.py": ["builder"], "src/2.py": []}


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_holder_keeps_its_lock_where_an_older_journal_has_lost_the_line_that_gave_it(
    ward: Ward, damage: Callable[[Path, bytes], None]
) -> None:
    line = handed_over(ward)
    damage(rotate(ward), line)
    assert holders(ward) == HELD

    report = ward.look()
    doctoring.mend(ward.board(), "fix", dry_run=False)

    assert {one.id for one in report.findings} <= {"F-117", "F-124"}, report.findings
    assert holders(ward) == HELD


@pytest.mark.parametrize("damage", [flip, cut])
def test_what_was_given_back_is_not_taken_again_for_a_line_that_is_lost(
    ward: Ward, damage: Callable[[Path, bytes], None]
) -> None:
    board = ward.fill()
    before = ward.journal().read_bytes()
    board.locks.release_names("planner", ["src/1.py", "src/2.py"])
    line = ward.journal().read_bytes()[len(before) :].split(b"\n")[0]
    board.agent("builder").lock("src/1.py", bound="agent")
    board.close()
    damage(rotate(ward), line)

    report = ward.look()
    doctoring.mend(ward.board(), "fix", dry_run=False)

    assert {one.id for one in report.findings} <= {"F-117", "F-124"}, report.findings
    assert holders(ward) == HELD


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_second_repair_does_not_undo_what_the_first_one_kept(
    ward: Ward, damage: Callable[[Path, bytes], None]
) -> None:
    line = handed_over(ward)
    damage(ward.journal(), line)

    for _ in range(2):
        doctoring.mend(ward.board(), "fix", dry_run=False)

        assert {one.id for one in ward.look().findings} <= {"F-117", "F-124"}
        assert holders(ward) == HELD
