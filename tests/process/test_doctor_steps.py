"""Steps of a repair: which there are, and that each looks again, under the guard, at what it is about to change."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from latchboard.clock import SystemClock
from latchboard.compose import doctoring
from latchboard.errors import StoreBusy, StoreError
from latchboard.settings import Settings
from latchboard.store.files import journal_end, layout
from latchboard.store.files.damage import COLLECTIONS, DECIDING, Damage
from latchboard.store.files.repair import Repairer, Step, plan
from tests.process import test_doctor_findings as scenes
from tests.process.ward import Ward

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_end, "_STILL_S", 0.02)  # nobody else is here to wait for


def planned(ward: Ward) -> tuple[Repairer, list[Step]]:
    """The repair of what is wrong now, not begun."""
    settings = Settings(guard_wait_s_max=0.05)
    board = ward.board(guard_wait_s_max=0.05)
    assert board.files is not None
    shop = doctoring._Shop(board, board.files)
    return Repairer(board.files, SystemClock(), settings), shop.plan(shop.look().damage)


def kinds(steps: list[Step]) -> list[str]:
    return [one.kind for one in steps]


@contextmanager
def guarded(ward: Ward) -> Iterator[None]:
    """Somebody else has the guard."""
    with (ward.store / "journal" / "guard").open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_store_of_another_format_is_left_alone() -> None:
    assert plan([Damage("format", "FORMAT", "unknown", count=2)]) == []
    assert kinds(plan([Damage("format", "FORMAT", "missing")])) == ["recover"]
    assert kinds(plan([Damage("format", "FORMAT", "unreadable")])) == ["format", "recover"]


def test_what_decides_who_may_write_is_never_moved_away() -> None:
    for name in ("locks/", *(f"{one}/" for one in COLLECTIONS)):
        where = "x.lock" if name == "locks/" else f"{name}x.json"
        steps = plan([Damage("unreadable", where, "it cannot be read", key=name)])

        assert kinds(steps) == ([] if name in DECIDING else ["aside"]), name


def test_a_store_that_is_gone_by_then_is_an_error_of_the_store(ward: Ward) -> None:
    scenes.garbage_lock(ward)
    repairer, steps = planned(ward)
    shutil.rmtree(ward.store)

    with pytest.raises(StoreError):
        repairer.apply(steps, "later")


@pytest.mark.parametrize("damage", [scenes.garbage_format, scenes.garbage_lock, scenes.unknown_garbage])
def test_nothing_is_changed_while_somebody_else_has_the_guard(ward: Ward, damage: Callable[[Ward], None]) -> None:
    damage(ward)
    repairer, steps = planned(ward)
    before = ward.files()

    with guarded(ward), pytest.raises(StoreBusy):
        repairer.apply(steps, "later")

    after = ward.files()
    assert {path: after[path][3] for path in before} == {path: before[path][3] for path in before}
    assert repairer.apply(steps, "again")[1]


def test_a_format_that_is_gone_by_then_is_made_anew(ward: Ward) -> None:
    scenes.garbage_format(ward)
    repairer, steps = planned(ward)
    (ward.store / "FORMAT").unlink()

    assert kinds(repairer.apply(steps, "later")[1]) == ["recover"]
    assert ward.look().findings == []


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_link, _folder])
def test_what_stands_in_the_place_of_the_format_makes_room_for_one(ward: Ward, damage: Callable[[Path], None]) -> None:
    ward.fill().close()
    damage(ward.store / "FORMAT")
    repairer, steps = planned(ward)

    assert kinds(repairer.apply(steps, "later")[1]) == ["format", "recover"]
    assert ward.look().findings == []


def test_without_a_format_and_without_a_journal_the_store_begins_again(ward: Ward) -> None:
    scenes.garbage_format(ward)
    shutil.rmtree(ward.store / "journal")
    repairer, steps = planned(ward)

    assert kinds(repairer.apply(steps, "later")[1]) == ["format", "recover"]
    assert [one["agent"] for one in ward.board().locks.check(["src/1.py"])] == ["planner"]
    assert ward.look().findings == []


def test_a_journal_that_is_an_older_one_by_then_is_left(ward: Ward) -> None:
    scenes.damaged_line(ward)
    repairer, steps = planned(ward)
    ward.rotate()
    journals = sorted(path.name for path in ward.store.glob("journal/*.jsonl"))

    assert repairer.apply(steps, "later")[1] == []
    assert sorted(path.name for path in ward.store.glob("journal/*.jsonl")) == journals


def test_a_record_that_can_be_read_by_then_or_is_gone_is_not_moved_away(ward: Ward) -> None:
    scenes.unknown_garbage(ward)
    stranger = ward.store / "agents" / "stranger.json"
    repairer, steps = planned(ward)
    stranger.write_text('{"key":"agents/stranger","mod_revision":1}\n')

    assert repairer.apply(steps, "later")[1] == []
    assert stranger.exists()
    stranger.unlink()
    assert repairer.apply(steps, "again")[1] == []


def test_the_file_of_another_record_is_moved_away(ward: Ward) -> None:
    ward.fill().close()
    stranger = ward.store / "agents" / "stranger.json"
    stranger.write_bytes((ward.store / "agents" / "planner.json").read_bytes())
    repairer, steps = planned(ward)

    assert kinds(repairer.apply(steps, "later")[1]) == ["aside"]
    assert not stranger.exists()
    assert (ward.store / "backups" / "later" / "unreadable" / "agents" / "stranger.json").exists()


def test_a_record_that_no_journal_has_any_more_is_left_as_it_is(ward: Ward) -> None:
    ward.fill().close()
    path = ward.store / layout.record("locks/x.py")
    path.write_bytes(b"{")
    repairer, _ = planned(ward)

    assert repairer.apply([Step("restore", path.name, "locks/x.py")], "later")[1] == []
    assert path.read_bytes() == b"{"


def test_a_record_of_an_older_commit_with_the_same_content_is_made_that_of_the_last(ward: Ward) -> None:
    ward.fill().close()
    path = scenes.lock_file(ward)
    good = path.read_text()
    revision = int(good.partition('"mod_revision":')[2].partition(",")[0])
    path.write_text(good.replace(f'"mod_revision":{revision}', f'"mod_revision":{revision - 1}'))
    repairer, steps = planned(ward)

    assert kinds(repairer.apply(steps, "later")[1]) == ["restore"]
    assert path.read_text() == good


@pytest.mark.parametrize(("missing_count", "expect"), [(1, []), (0, ["restore"])])
def test_a_copy_needs_twice_its_blocks(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, missing_count: int, expect: list[str]
) -> None:
    scenes.garbage_lock(ward)
    repairer, steps = planned(ward)
    journal = [path for path in (ward.store / "journal").iterdir() if path.name == "guard" or path.suffix]
    copied = [ward.store / "FORMAT", scenes.lock_file(ward), *journal]
    real = os.fstatvfs

    def few(fd: int) -> os.statvfs_result:
        found = real(fd)
        count = sum(-(-path.stat().st_size // found.f_frsize) for path in copied)
        return os.statvfs_result((*found[:4], 2 * count - missing_count, *found[5:]))

    monkeypatch.setattr(os, "fstatvfs", few)
    try:
        done = kinds(repairer.apply(steps, "later")[1])
    except StoreError as exc:
        assert "needs" in exc.message
        done = []

    assert done == expect


def test_every_file_of_a_copy_is_on_the_disk_before_it_has_its_name(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.garbage_lock(ward)
    repairer, steps = planned(ward)
    copy, flushed = ward.store / "backups" / "later", set[str]()
    real = os.fsync

    def fsync(fd: int) -> None:
        if not copy.exists():
            flushed.add(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    repairer.apply(steps, "later")

    assert {path.name for path in copy.rglob("*") if path.is_file()} == flushed


def _elsewhere(journal: Path) -> None:
    journal.rename(journal.with_name("elsewhere"))
    journal.symlink_to("elsewhere")


def _file(journal: Path) -> None:
    shutil.rmtree(journal)
    journal.touch()


@pytest.mark.parametrize("damage", [_elsewhere, _file])
def test_what_stands_in_the_place_of_the_journals_is_told_and_not_followed(
    ward: Ward, damage: Callable[[Path], None]
) -> None:
    ward.fill().close()
    damage(ward.store / "journal")
    repairer, steps = planned(ward)
    before = ward.files()

    with pytest.raises(StoreError):
        repairer.apply(steps, "later")

    after = ward.files()
    assert {path: after[path][3] for path in before} == {path: before[path][3] for path in before}
