"""Repairs: damage is mended; killed at any step they are begun anew; nothing that counts is ever taken away."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.compose import Latchboard, doctoring
from latchboard.store.files import journal_end
from latchboard.store.files.health import Inspector
from latchboard.store.memory import MemoryStore
from tests.conftest import SOAK
from tests.process import test_doctor_findings as scenes
from tests.process.queue_scenes import claims_that_are_gone
from tests.process.ward import PATIENT, UNHURRIED_S, Ward

pytestmark = pytest.mark.process

ROUNDS = 200 if SOAK else 25


def _scribble(dice: random.Random, path: Path) -> str:
    """Damage as disks, editors and crashes make it."""
    data = bytearray(path.read_bytes())
    kind, place = dice.choice(("flip", "cut", "take", "add", "zero")), dice.randrange(len(data))
    if kind == "flip":
        data[place] ^= 1 << dice.randrange(8)
    elif kind == "cut":
        del data[place:]
    elif kind == "take":
        del data[place : place + dice.randrange(1, 50)]
    elif kind == "add":
        data[place:place] = dice.randbytes(dice.randrange(1, 40))
    else:
        data[place:] = bytes(len(data) - place)
    path.write_bytes(data)
    return f"{kind} at {place} of {path.name}"


def test_whatever_is_scribbled_on_one_file_is_mended(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_end, "_STILL_S", 0.02)  # nobody else is here to wait for
    ward.fill().close()
    whole = ward.folder / "whole"
    shutil.copytree(ward.store, whole)
    dice = random.Random(7)

    for _ in range(ROUNDS):
        shutil.rmtree(ward.store)
        shutil.copytree(whole, ward.store)
        board = ward.board()
        board.store.transact(lambda _: None, who="planner")  # a copy has an identity of its own
        held = {name: board.locks.check([name]) for name in ("src/0.py", "src/1.py", "src/2.py")}
        board.close()
        files = [path for path in ward.store.rglob("*") if path.is_file() and path.suffix not in (".tmp", "")]
        files += [ward.store / "FORMAT", ward.store / "journal" / "guard"]
        what = _scribble(dice, dice.choice([path for path in files if path.stat().st_size]))

        before = ward.look()
        deeds = doctoring.mend(ward.board(), "fix", dry_run=False)
        after = ward.look()

        assert not before.is_broken, (what, before.traces)
        assert all(one.is_done for one in deeds), (what, [one.to_json() for one in deeds])
        assert [one for one in after.findings if one.id != "F-124"] == [], what
        board = ward.board()
        assert {name: _who(board.locks.check([name])) for name in held} == {n: _who(h) for n, h in held.items()}, what
        assert board.agent("builder").lock("src/new.py", bound="agent").token > 0


def _who(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["agent"], one["token"]) for one in found]


DAMAGES = (scenes.garbage_lock, scenes.damaged_line, scenes.garbage_format, scenes.torn_tail)
CALLS = ("mkdirat", "fsync", "renameat", "pwrite64", "ftruncate")
KILLS = [(damage, call) for number, call in enumerate(CALLS) for damage in (DAMAGES if SOAK else [DAMAGES[number % 4]])]
"""Each damage and each call; every repair is killed at every call in test_doctor_kills.py, without a command."""


@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize(("damage", "call"), KILLS)
def test_a_repair_that_is_killed_is_begun_anew(ward: Ward, damage: Any, call: str) -> None:
    damage(ward)
    command = [*PATIENT, "doctor", "--fix", "--force"]
    kill = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when=1"]

    subprocess.run([*kill, *command], cwd=ward.root, capture_output=True, timeout=60, check=False)
    again = subprocess.run(command, cwd=ward.root, capture_output=True, text=True, timeout=60, check=False)

    assert again.returncode == 0, again
    assert [one.id for one in ward.look().findings if one.id != "F-124"] == []
    assert [one["agent"] for one in ward.board().locks.check(["src/1.py"])] == ["planner"]


def test_the_record_of_a_lock_that_no_journal_has_is_never_taken_away(ward: Ward) -> None:
    scenes.unknown_garbage_lock(ward)
    path = ward.store / "x.py-0123456789abcdef.lock"

    deeds = doctoring.mend(ward.board(), "fix", dry_run=False)

    assert deeds == []
    assert path.read_bytes() == b"{"


def test_without_room_for_a_copy_nothing_is_repaired(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.garbage_lock(ward)
    lock = scenes.lock_file(ward)
    real = os.fstatvfs

    def none_left(fd: int) -> os.statvfs_result:
        return os.statvfs_result((*real(fd)[:4], 0, *real(fd)[5:]))

    monkeypatch.setattr(os, "fstatvfs", none_left)
    (deed,) = doctoring.mend(ward.board(), "fix", dry_run=False)

    assert not deed.is_done
    assert "needs" in deed.why_not
    assert lock.read_bytes() == b"\0garbage"
    assert not (ward.store / "backups").exists()


def test_what_was_mended_by_somebody_else_meanwhile_is_left(ward: Ward) -> None:
    scenes.garbage_lock(ward)
    board, lock = ward.board(), scenes.lock_file(ward)
    assert board.files is not None
    shop = doctoring._Shop(board, board.files)
    steps = shop.plan(shop.look().damage)
    lock.unlink()
    assert doctoring.mend(ward.board(), "fix", dry_run=False)[0].is_done

    where, done = shop.apply(steps, "later")

    assert done == []
    assert Path(where).is_dir()


def test_a_format_that_was_mended_by_somebody_else_meanwhile_is_left(ward: Ward) -> None:
    scenes.garbage_format(ward)
    board = ward.board()
    assert board.files is not None
    shop = doctoring._Shop(board, board.files)
    steps = shop.plan(shop.look().damage)
    assert all(one.is_done for one in doctoring.mend(ward.board(), "fix", dry_run=False))
    mended = (ward.store / "FORMAT").read_bytes()

    _, done = shop.apply(steps, "later")

    assert "format" not in [one.kind for one in done]
    assert (ward.store / "FORMAT").read_bytes() == mended


def test_a_copy_has_all_that_a_repair_can_take_away_and_brings_it_back(ward: Ward) -> None:
    scenes.old_damage(ward)
    scenes.garbage_lock(ward)
    journals = {path.name: path.read_bytes() for path in (ward.store / "journal").iterdir() if path.suffix}

    (deed,) = doctoring.mend(ward.board(), "fix", dry_run=False)

    assert {path.name: path.read_bytes() for path in Path(deed.kept, "journal").iterdir() if path.suffix} == journals
    shutil.copytree(deed.kept, ward.store, dirs_exist_ok=True)
    assert {one.id for one in ward.look().findings} <= {"F-105", "F-123", "F-124"}, "as it was, and a copy"
    assert doctoring.mend(ward.board(), "fix", dry_run=False)
    assert {one.id for one in ward.look().findings} <= {"F-124"}
    assert [one["agent"] for one in ward.board().locks.check(["src/1.py"])] == ["planner"]


def test_a_credential_that_can_be_read_by_then_is_not_set_aside(ward: Ward) -> None:
    path = scenes.configured(ward)
    before = path.read_bytes()
    (kept,) = doctoring.kept(str(ward.root))

    assert kept.set_aside("later") == ""

    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.damaged-*"))


def test_a_look_that_comes_to_its_end_says_that_it_saw_a_part(ward: Ward) -> None:
    ward.fill(200).close()

    seen = Inspector(str(ward.store), boot=ward.board().clock.now().boot, stop_at_s=0.0).look()

    assert not seen.is_whole_look
    assert seen.damage == []


def test_another_engine_is_looked_at_without_a_folder(ward: Ward) -> None:
    board = Latchboard(ward.root, store=MemoryStore(clock=SystemClock()), publishes=False)

    report = doctoring.report(board, deadline_s=UNHURRIED_S)

    assert [one.name for one in report.standings if one.section == "storage"] == ["mount"]
    assert (report.findings, doctoring.mend(board, "fix", dry_run=False)) == ([], [])


def test_records_of_the_queue_are_kept_before_they_are_made_what_the_jobs_say(ward: Ward) -> None:
    claims_that_are_gone(ward)
    board = ward.board()
    board.store.transact(lambda view: view.put("queue/limits", {"roles": 5}), who="other")
    before = board.store.read("queue/").revision

    planned = doctoring.mend(board, "fix", dry_run=True)
    assert board.store.read("queue/").revision == before
    done = doctoring.mend(board, "fix", dry_run=False)

    assert [one.what for one in done] == [one.what for one in planned]
    assert all(one.is_done for one in done)
    assert len(done) == 3  # the claims, the job that had one, the limits
    kept = [path.name for path in Path(done[0].kept).rglob("*") if path.is_file()]
    assert any("limits" in name for name in kept)
    assert any("job-1" in name for name in kept)
    assert doctoring.mend(board, "fix", dry_run=False) == []
    assert board.queue.claim("builder", "b2")["job"]["id"] == "job-1"
