"""What a damaged journal leaves in doubt is not compared with it, and no repair sets a record back; what stands in a
file's place, or is longer than any file of ours, costs one line of the report (K25, K26)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest

from latchboard.compose import doctoring
from tests.process import test_doctor_findings as scenes
from tests.process.ward import UNHURRIED_S, Ward

pytestmark = pytest.mark.process


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


def holders(ward: Ward) -> dict[str, list[str]]:
    board = ward.board()
    return {name: [one["agent"] for one in board.locks.check([name])] for name in ("src/0.py", "src/1.py", "src/2.py")}


HELD = {"src/0.py": ["planner"], "src/1.py": ["builder"], "src/2.py": []}


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_holder_keeps_its_lock_where_an_older_journal_has_lost_the_line_that_gave_it(
    ward: Ward, damage: Callable[[Path, bytes], None]
) -> None:
    line = handed_over(ward)
    damage(ward.rotate(), line)
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
    damage(ward.rotate(), line)

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


def sparse(path: Path) -> None:
    """Two gigabytes of nothing."""
    with path.open("wb") as file:
        file.truncate(2 << 30)
    path.chmod(0o600)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


PLACES = [
    (".claude/settings.json", sparse),
    (".claude/settings.json", pipe),
    (".claude/settings.json", endless),
    (".git/hooks/pre-commit", sparse),
    (".git/hooks/pre-commit", pipe),
    (".git/hooks/pre-commit", endless),
    (".git/config", pipe),
    (".git/config", endless),
    ("data/.agent_locks/FORMAT", sparse),
    ("data/.agent_locks/agents/planner.json", sparse),
    ("data/.agent_locks/leases/planner.json", sparse),
    ("data/.agent_locks/stranger.lock", sparse),
    ("data/.agent_locks/messages/builder/stranger.json", sparse),
    ("data/.agent_locks/journal/00000000000000000001.jsonl", sparse),
    ("data/.agent_pids/architect.json", sparse),
]


@pytest.mark.parametrize(("name", "make"), PLACES)
def test_what_blocks_or_never_ends_is_not_waited_for(ward: Ward, name: str, make: Callable[[Path], None]) -> None:
    ward.fill().close()
    place = ward.root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    make(place)
    peak = getrusage(RUSAGE_SELF).ru_maxrss

    report = ward.look()

    assert [one.name for one in report.standings if one.state != "done"] == []
    assert report.took_s < UNHURRIED_S / 2
    assert getrusage(RUSAGE_SELF).ru_maxrss - peak < 2**20, "in KiB: half of what is there"
    assert doctoring.mend(ward.board(), "fix", dry_run=True) is not None


def test_a_credential_that_cannot_be_looked_at_hides_no_other(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scenes.configured(ward)
    settings = ward.root / "latchboard.toml"
    settings.write_text(settings.read_text() + settings.read_text().replace("github", "another"))
    path.with_name("another.json").write_text("{")
    path.with_name("another.json").chmod(0o600)
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as planted:
        monkeypatch.chdir(path.parent)  # the name of a socket has no room for more
        planted.bind(path.name)

        states = {one.about["credential"]: one.about["state"] for one in ward.look().findings}
        deeds = doctoring.mend(ward.board(), "reset", dry_run=True)

    assert states == {"github": "open", "another": "damaged"}
    assert ["another" in one.what for one in deeds] == [True]
