"""Damage is told however busy the store is: others commit, or a journal is begun, at every step of the look (K25)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from latchboard.store.files.compared import Compared
from latchboard.store.files.damage import Health
from latchboard.store.files.health import Inspector
from tests.process import test_doctor_findings as scenes
from tests.process.ward import Ward
from tests.store.scenes import open_files

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def damaged(ward: Ward) -> None:
    ward.fill(2).close()
    scenes.lock_file(ward).write_bytes(b"\0garbage")


def look(ward: Ward) -> Health:
    return Inspector(str(ward.store), boot=ward.board().clock.now().boot).look()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Something happens each time that a record is looked at once more."""

    def arrange(happens: Callable[[], None]) -> None:
        before = Compared._is_still

        def is_still(self: Compared, *args: object) -> bool:
            happens()
            return before(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(Compared, "_is_still", is_still)

    return arrange


def test_others_who_commit_all_the_time_hide_nothing(
    ward: Ward, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    board, counts = ward.board(), [0]

    def commit() -> None:
        counts[0] += 1
        board.mailbox.send("planner", "builder", "a letter")

    meanwhile(commit)
    seen = look(ward)

    assert [(one.kind, one.key) for one in seen.damage] == [("record", "locks/src/1.py")]
    assert counts == [1], "one look was enough"


def test_a_record_that_is_mended_during_the_look_is_no_damage(
    ward: Ward, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    good = scenes.lock_file(ward, "src__0.py").read_bytes()
    scenes.lock_file(ward, "src__0.py").write_bytes(b"\0garbage")
    meanwhile(lambda: scenes.lock_file(ward, "src__0.py").write_bytes(good) and None)

    assert [one.key for one in look(ward).damage] == ["locks/src/1.py"]


@pytest.mark.parametrize(("then", "expect"), [("", False), ("not in the header yet", False), ("damaged again", True)])
def test_a_record_that_is_written_anew_during_the_look_is_judged_by_its_new_commit(
    ward: Ward, meanwhile: Callable[[Callable[[], None]], None], then: str, expect: bool
) -> None:
    path, guard, counts = ward.store / "agents" / "planner.json", ward.store / "journal" / "guard", [0]
    path.write_bytes(b"{")

    def commit_once() -> None:
        counts[0] += 1
        if counts[0] > 1:
            return
        before = guard.read_bytes()
        ward.board().store.transact(lambda view: view.put("agents/planner", {"agent": "planner"}), who="planner")
        if then == "not in the header yet":
            guard.write_bytes(before)
        elif then == "damaged again":
            path.write_bytes(b"{")

    meanwhile(commit_once)
    keys = {one.key for one in look(ward).damage}

    assert keys == ({"locks/src/1.py", "agents/planner"} if expect else {"locks/src/1.py"})


def test_what_is_told_is_what_was_seen_last(ward: Ward, meanwhile: Callable[[Callable[[], None]], None]) -> None:
    stranger = ward.store / "agents" / "stranger.json"
    stranger.write_bytes(b"{")

    def change() -> None:
        scenes.lock_file(ward, "src__0.py").write_bytes(b"{")
        stranger.unlink(missing_ok=True)
        wrong.unlink(missing_ok=True)

    wrong = scenes.lock_file(ward)
    meanwhile(change)

    assert [(one.where, one.why) for one in look(ward).damage] == [(wrong.name, "missing")]


def test_a_journal_that_is_begun_during_the_look_hides_nothing(
    ward: Ward, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    begun: list[Path] = []

    def begin_once() -> None:
        if not begun:
            begun.append(ward.rotate())

    meanwhile(begin_once)
    seen = look(ward)

    assert begun
    assert [(one.kind, one.key) for one in seen.damage] == [("record", "locks/src/1.py")]
    assert seen.is_whole_look


def test_a_look_that_never_meets_one_journal_sees_what_can_be_seen_without(
    ward: Ward, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    meanwhile(lambda: ward.rotate() and None)
    seen = look(ward)

    assert [(one.kind, one.where) for one in seen.damage] == [("unreadable", scenes.lock_file(ward).name)]
    assert (seen.is_whole_look, seen.facts["is_compared"]) == (True, False)


@pytest.mark.parametrize("is_before", [True, False])
def test_a_journal_that_is_begun_or_goes_around_the_look_at_the_header_is_no_damage(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    real, first = Inspector._header, ward.journal()
    counts = [0]

    def header(self: Inspector, is_expected: bool) -> object:
        counts[0] += 1
        if counts[0] > 1:
            return real(self, is_expected)
        if is_before:  # the one that the header names was not there when the folder was looked at
            ward.rotate()
            return real(self, is_expected)
        found = real(self, is_expected)
        while first.exists():  # the one that the header named is gone
            board = ward.board(journal_bytes_max=600, journals_kept_count=2)
            board.mailbox.send("planner", "builder", "a letter")
            board.close()
        return found

    monkeypatch.setattr(Inspector, "_header", header)
    inspector = Inspector(str(ward.store), boot=ward.board().clock.now().boot)
    open_before = open_files()
    seen = inspector.look()

    assert counts == [2], "it was begun anew"
    assert open_files() <= open_before
    assert {one.where for one in seen.damage} == {scenes.lock_file(ward).name}
    assert seen.facts["is_compared"]
