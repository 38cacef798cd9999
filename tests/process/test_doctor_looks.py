"""A look at a store tells each thing that is wrong once, by its right name, and nothing else (K25)."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.codec import encode
from latchboard.store.files import journal, journal_end, layout
from latchboard.store.files.compared import Compared
from latchboard.store.files.damage import Health
from latchboard.store.files.health import Inspector
from tests.process import test_doctor_findings as scenes
from tests.process.ward import Ward
from tests.store.scenes import open_files

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_end, "_STILL_S", 0.02)  # nobody else is here to wait for


def look(ward: Ward, boot: str = "") -> Health:
    return Inspector(str(ward.store), boot=boot or ward.board().clock.now().boot).look()


def told(seen: Health) -> list[tuple[str, str, str]]:
    """Kind, kind of file, why."""
    return [(one.kind, Path(one.where).suffix or one.where, one.why) for one in seen.damage]


def sealed(line: bytes, **changes: Any) -> bytes:
    """A line of a journal with other words in it, and the checksum of those."""
    entry = {name: value for name, value in json.loads(line).items() if name != "crc"}
    return journal.seal(encode({**entry, **changes})[:-1])


def change_line(path: Path, number: int, make: Callable[[bytes], bytes]) -> None:
    lines = path.read_bytes().split(b"\n")
    made = make(lines[number]).rstrip(b"\n")
    lines[number] = made
    path.write_bytes(b"\n".join(lines))


def change_record(path: Path, by: int) -> None:
    """Its revision."""
    value = json.loads(path.read_bytes())
    path.write_text(json.dumps({**value, "mod_revision": value["mod_revision"] + by}))


# -- scenes: each is made in a store with three locks ------------------------------------------------------------------


def file_for_the_store(ward: Ward) -> None:
    shutil.rmtree(ward.store)
    ward.store.touch()


def no_journals(ward: Ward) -> None:
    shutil.rmtree(ward.store / "journal")


def nothing_yet(ward: Ward) -> None:
    shutil.rmtree(ward.store)
    (ward.store / "journal").mkdir(parents=True)


def link_for_a_collection(ward: Ward) -> None:
    (ward.store / "agents").rename(ward.folder / "agents")
    (ward.store / "agents").symlink_to(ward.folder / "agents")


def _format(text: str) -> Callable[[Ward], None]:
    return lambda ward: (ward.store / "FORMAT").write_text(text) and None


def folder_for_the_format(ward: Ward) -> None:
    (ward.store / "FORMAT").unlink()
    (ward.store / "FORMAT").mkdir()


def folder_for_an_older_journal(ward: Ward) -> None:
    older = ward.rotate()
    older.unlink()
    older.mkdir()


def later_journal(ward: Ward) -> None:
    """Of a writer that died while rotating."""
    (ward.store / layout.journal(int(ward.journal().stem) + 10**12)).write_bytes(b"half")


def format_in_the_journal(ward: Ward) -> None:
    older = ward.rotate()
    change_line(older, 0, lambda line: sealed(line, format=2))


def older_journal_of_another_base(ward: Ward) -> None:
    older = ward.rotate()
    change_line(older, 0, lambda line: sealed(line, base=7))


def older_journal_that_lost_the_last_word(ward: Ward) -> None:
    """The line in which a lock was given back; what the record says cannot be judged any more."""
    board = ward.board()
    board.locks.release_names("planner", ["src/1.py"])
    board.mailbox.send("planner", "builder", "so that it is not the last line")
    older = ward.rotate()
    board.close()
    number = next(n for n, line in enumerate(older.read_bytes().split(b"\n")) if b'"deletes":["' in line)
    change_line(older, number, lambda line: line[:20] + b"!" + line[21:])


def damaged_first_line(ward: Ward) -> None:
    data = bytearray(ward.journal().read_bytes())
    data[10] ^= 1
    ward.journal().write_bytes(data)


def damaged_lines(ward: Ward) -> None:
    data = ward.journal().read_bytes()
    ward.journal().write_bytes(data.replace(b'"src/1.py"', b'"src/9.py"').replace(b'"src/2.py"', b'"src/8.py"'))


def older_journal_cut_off(ward: Ward) -> None:
    older = ward.rotate()
    older.write_bytes(older.read_bytes()[:-5])


def older_journal_damaged_and_cut_off(ward: Ward) -> None:
    older = ward.rotate()
    older.write_bytes(older.read_bytes().replace(b'"src/1.py"', b'"src/9.py"')[:-5])


def folder_for_a_beginning(ward: Ward) -> None:
    (beginning,) = (ward.store / "journal").glob("*.records")
    beginning.unlink()
    beginning.mkdir()


def journal_without_its_last_byte(ward: Ward) -> None:
    os.truncate(ward.journal(), ward.journal().stat().st_size - 1)


def whole_line_behind_a_damaged_one(ward: Ward) -> None:
    last = ward.journal().read_bytes().split(b"\n")[-2]
    with ward.journal().open("ab") as file:
        file.write(b"garbage\n" + last + b"\n")


def journal_of_another_base(ward: Ward) -> None:
    """Its marks are not those of this folder, and no sign of a copy: it is damaged."""
    change_line(ward.journal(), 0, lambda line: sealed(line, base=int(ward.journal().stem) + 1))
    guard_that_was_copied(ward)


def guard_that_was_copied(ward: Ward) -> None:
    guard = ward.store / "journal" / "guard"
    shutil.copy(guard, ward.folder / "guard")
    os.replace(ward.folder / "guard", guard)


def format_that_was_copied(ward: Ward) -> None:
    shutil.copy(ward.store / "FORMAT", ward.folder / "FORMAT")
    os.replace(ward.folder / "FORMAT", ward.store / "FORMAT")


def _garbage(*names: str) -> Callable[[Ward], None]:
    def make(ward: Ward) -> None:
        for name in names:
            (ward.store / name).parent.mkdir(exist_ok=True, parents=True)
            (ward.store / name).write_bytes(b"{")

    return make


def deleted_lock_of(by: int) -> Callable[[Ward], None]:
    """The record of a lock that was given back is there again, of a commit so far from the last."""

    def make(ward: Ward) -> None:
        path = scenes.lock_file(ward)
        before = path.read_bytes()
        board = ward.board()
        revision = json.loads(before)["mod_revision"]
        board.locks.release_names("planner", ["src/1.py"])
        last = board.store.read("locks/").revision
        board.close()
        path.write_bytes(before)
        change_record(path, last - revision + by)

    return make


def lock_of(by: int) -> Callable[[Ward], None]:
    return lambda ward: change_record(scenes.lock_file(ward), by)


def garbage_and_no_guard(ward: Ward) -> None:
    (ward.store / "agents" / "stranger.json").write_bytes(b"{")
    (ward.store / "journal" / "guard").unlink()


def older_damage_and_no_guard(ward: Ward) -> None:
    older = ward.rotate()
    older.write_bytes(older.read_bytes().replace(b'"src/1.py"', b'"src/9.py"'))
    (ward.store / "journal" / "guard").unlink()


def of_another_record(ward: Ward) -> None:
    shutil.copy(ward.store / "agents" / "planner.json", ward.store / "agents" / "stranger.json")


COPY = ("copy", "journal", "its marks are those of another folder")
UNREADABLE = ("unreadable", ".json", "it cannot be read")
LOST = ("journal", "journal/guard", "the guard is missing")
SCENES: list[tuple[Callable[[Ward], None], list[tuple[str, str, str]], bool]] = [
    (lambda ward: None, [], True),
    (lambda ward: shutil.rmtree(ward.store), [], False),
    (file_for_the_store, [("planted", ".", "something that is no folder")], False),
    (no_journals, [("journal", "journal", "it is missing")], False),
    (nothing_yet, [], False),
    (link_for_a_collection, [("planted", "agents", "something that is no folder, or cannot be opened")], True),
    (_format('{"format":1}'), [("format", "FORMAT", "unreadable")], True),
    (_format('{"format":1,"store_id":""}'), [("format", "FORMAT", "unreadable")], True),
    (_format('{"format":true,"store_id":"a"}'), [("format", "FORMAT", "unreadable")], True),
    (_format('{"format":0,"store_id":"a"}'), [("format", "FORMAT", "unknown")], True),
    (folder_for_the_format, [("format", "FORMAT", "unreadable")], True),
    (
        folder_for_an_older_journal,
        [("older-journal", ".jsonl", "something that is no file, or cannot be read")],
        True,
    ),
    (later_journal, [], True),
    (format_in_the_journal, [("format", ".jsonl", "unknown")], True),
    (older_journal_of_another_base, [("older-journal", ".jsonl", "line 1 is damaged")], True),
    (older_journal_that_lost_the_last_word, [("older-journal", ".jsonl", "line 7 is damaged")], True),
    (damaged_first_line, [("journal", ".jsonl", "line 1 is damaged")], False),
    (journal_of_another_base, [("journal", ".jsonl", "line 1 is damaged")], False),
    (damaged_lines, [("line", ".jsonl", "line 3 is damaged")], False),
    (older_journal_cut_off, [("older-journal", ".jsonl", "its last line was never finished")], True),
    (older_journal_damaged_and_cut_off, [("older-journal", ".jsonl", "line 3 is damaged")], True),
    (
        folder_for_a_beginning,
        [("older-journal", ".records", "the records with which that journal began are damaged")],
        True,
    ),
    (journal_without_its_last_byte, [("journal", ".jsonl", "it is shorter than the header says")], False),
    (whole_line_behind_a_damaged_one, [("journal", ".jsonl", "a whole line stands behind one that is damaged")], False),
    (guard_that_was_copied, [COPY], False),
    (format_that_was_copied, [COPY], False),
    (
        _garbage("wide.json", "newest_broadcast.json", "messages/builder/x.json"),
        [UNREADABLE] * 3,
        True,
    ),
    (_garbage("agents/x.tmp", "messages/builder/x.tmp", "wide.tmp"), [], True),
    (deleted_lock_of(0), [("record", ".lock", "left")], True),
    (deleted_lock_of(-1), [("record", ".lock", "left")], True),
    (deleted_lock_of(1), [], True),
    (lock_of(-1), [("record", ".lock", "older")], True),
    (lock_of(1), [("record", ".lock", "newer")], True),
    (garbage_and_no_guard, [LOST, UNREADABLE], False),
    (older_damage_and_no_guard, [LOST, ("older-journal", ".jsonl", "line 3 is damaged")], False),
    (of_another_record, [("unreadable", ".json", "it is the file of another record")], True),
]


@pytest.mark.parametrize(("damage", "expect", "is_compared"), SCENES)
def test_each_thing_is_told_once_by_its_name(
    ward: Ward, damage: Callable[[Ward], None], expect: list[tuple[str, str, str]], is_compared: bool
) -> None:
    ward.fill().close()
    damage(ward)
    open_before = open_files()
    seen = look(ward, boot=ward.board().clock.now().boot)

    assert told(seen) == expect
    assert seen.facts.get("is_compared", False) == is_compared
    assert open_files() <= open_before


def test_after_a_restart_records_are_not_compared_before_the_next_commit(ward: Ward) -> None:
    """It settles them: what was not flushed may be lost, of the records or of the journal."""
    scenes.changed_lock(ward)

    assert told(look(ward)) == [("record", ".lock", "changed")]
    after = look(ward, boot="another")
    assert (told(after), after.facts["is_compared"]) == ([], False)


@pytest.mark.parametrize("damage", [scenes.torn_tail, scenes.unapplied_commit])
def test_what_is_not_finished_is_no_damage_while_a_writer_has_the_guard(
    ward: Ward, damage: Callable[[Ward], None]
) -> None:
    damage(ward)

    with (ward.store / "journal" / "guard").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert told(look(ward)) == [("guard", "journal/guard", "held")]

    assert [kind for kind, _, _ in told(look(ward))] != ["guard"]


def test_facts_are_those_of_the_store(ward: Ward) -> None:
    board = ward.fill()
    board.locks.release_names("planner", ["src/1.py"])
    now_s = board.clock.now().wall_s
    board.close()

    seen = look(ward)

    places = [path for path in ward.store.rglob("*") if path.suffix == ".lock" or path.suffix == ".json"]
    assert seen.facts["record_count"] == len(places)
    assert seen.facts["journal_bytes"] == ward.journal().stat().st_size
    assert seen.last_commit_s is not None
    assert abs(seen.last_commit_s - now_s) < 60


def test_a_commit_that_says_no_time_is_none_of_which_the_time_is_known(ward: Ward) -> None:
    ward.fill().close()
    change_line(ward.journal(), -2, lambda line: sealed(line, at="x" * len(json.loads(line)["at"])))

    seen = look(ward)

    assert (told(seen), seen.last_commit_s) == ([], None)


def test_what_the_system_does_not_let_be_read_is_told(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.unknown_garbage(ward)
    names, real = (scenes.lock_file(ward).name, "agents/stranger.json"), os.open

    def refused(path: Any, *args: Any, **options: Any) -> int:
        if path in names:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refused)
    seen = told(look(ward))

    assert seen == [
        ("record", ".lock", "unreadable"),
        ("unreadable", ".json", "the system does not let it be read"),
    ]


def test_of_very_many_the_first_are_looked_at_again_and_stand_for_all(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(view: Any) -> None:
        for number in range(210):
            view.put(f"agents/{number}", {"agent": str(number)})

    ward.board().store.transact(many, who="planner")
    gone = {path: path.read_bytes() for path in ward.store.glob("agents/*.json")}
    for path in gone:
        path.unlink()
    assert len(look(ward).damage) == len(gone)
    real = Compared.confirmed

    def confirmed(self: Compared, *args: Any) -> Any:
        for path, data in gone.items():  # the first look met a moment in which they were gone
            path.write_bytes(data)
        return real(self, *args)

    monkeypatch.setattr(Compared, "confirmed", confirmed)

    assert look(ward).damage == []
