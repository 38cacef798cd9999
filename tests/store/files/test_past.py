"""What a journal began with, and what there was at each revision of it: what can happen to these files."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from latchboard.errors import Compacted, MalformedRecord, UnsafeFolder, UsageError
from latchboard.settings import Settings
from latchboard.store.files import beginning, journal, layout
from latchboard.store.port import REPLAYED
from tests.store.scenes import Scene, State, open_files

ROTATING = Settings(journal_bytes_max=1500, journals_kept_count=4)
SCHEMA = Path(__file__).parents[3] / "protocol" / "schema" / "journal_records.json"


def past(scene: Scene, at: int) -> State:
    then = scene.store.read(*REPLAYED, at=at)
    return {key: value for prefix in REPLAYED for key, value in then.scan(prefix)}


def fill(scene: Scene, count: int = 40) -> dict[int, State]:
    """Commits over several journals, and what there was after each."""
    known: dict[int, State] = {}
    state: State = {}
    for n in range(count):
        key = f"locks/{n % 5}"
        state = {**state, key: {"n": n, "text": "x" * 100}}
        known[scene.commit({key: state[key]})] = state
    return known


def beginnings(scene: Scene) -> list[str]:
    return sorted(path.name for path in (scene.path / "journal").glob("*.records*"))


def without_beginning(scene: Scene) -> None:
    """Make the journal one of a version that kept no beginnings."""
    path = scene.journal()
    first, behind = path.read_bytes().split(b"\n", 1)
    text = first.decode().rpartition(',"crc"')[0].replace('"records"', '"pad_ing"')
    path.write_bytes(journal.seal(text) + behind)
    scene.beginning().unlink()


def test_each_journal_that_is_kept_has_its_beginning_and_no_other_has(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)

    fill(scene)

    assert len(scene.journals()) == 4
    assert beginnings(scene) == [f"{path.stem}.records" for path in scene.journals()]


def test_a_beginning_fits_its_schema_and_has_what_there_was(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    scene.commit({"agents/\u00e9\n": {"n": 1}, "messages/a/1": {}, "wide": {"names": []}})
    scene.record("agents/sick").write_bytes(b"")
    fill(scene)
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))

    first, *lines = [json.loads(line) for line in scene.beginning().read_text().splitlines()]

    for line in (first, *lines):
        validator.validate(line)
    assert first["count"] == len(lines) == 7
    assert first["previous"] == scene.first_line()["previous"]
    found = {line["record"]["key"]: line["path"] for line in lines if "record" in line}
    assert found == {key: layout.record(key) for key in ("agents/\u00e9\n", *[f"locks/{n}" for n in range(5)])}
    assert [line["path"] for line in lines if "reason" in line] == ["agents/sick.json"]


def test_a_new_store_begins_with_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    revision = scene.commit({"agents/a": {}})

    assert (past(scene, 0), past(scene, 1), past(scene, revision)) == ({}, {}, {"agents/a": {}})


def test_a_record_that_could_not_be_read_then_is_damaged_until_it_was_put(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    sick = {
        "agents/empty": b"",
        "agents/half": b'{"key":"agents/half","mod_revision":7,"n',
        "agents/lines": b'{"key":"agents/lines",\n"mod_revision":7,\n"n":1}\n',
        "agents/other": b'{"key":"agents/another","mod_revision":7}\n',
    }
    scene.commit({key: {} for key in sick})
    for key, data in sick.items():
        scene.record(key).write_bytes(data)
    fill(scene, 10)
    said: list[MalformedRecord] = []
    scene.store.read("agents/").scan("agents/", damaged=said)
    revision = scene.commit({"agents/a": {}})
    scene.commit({"agents/half": {"n": 2}})

    found: list[MalformedRecord] = []
    then = scene.store.read("agents/", "agents/half", at=revision)

    assert then.scan("agents/", damaged=found) == [("agents/a", {}), ("agents/lines", {"n": 1})]
    told = {e.fields["path"]: e.fields["reason"] for e in found}
    assert told == {e.fields["path"]: e.fields["reason"] for e in said}
    assert told.keys() == {f"agents/{name}.json" for name in ("empty", "half", "other")}
    for question in (lambda: then.scan("agents/"), lambda: then.get("agents/half")):
        with pytest.raises(MalformedRecord):
            question()
    later = scene.store.read("agents/half", at=scene.store.read("wide").revision)
    assert later.get("agents/half") == {"n": 2}


def test_a_file_whose_name_is_no_text_is_told_as_damaged(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    fill(scene, 3)
    name = b"\xff.lock"
    descriptor = os.open(os.fsencode(scene.path) + b"/" + name, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b'{"key":"locks/x","mod_revision":7}\n')
    os.close(descriptor)

    known = fill(scene, 10)

    found: list[MalformedRecord] = []
    scene.store.read("locks/", at=list(known)[-2]).scan("locks/", damaged=found)
    assert [e.fields["reason"] for e in found] == ["its name is no text"]


def test_a_journal_of_an_older_version_is_rotated_soon_and_is_not_replayed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.commit({"agents/a": {"n": 1}})
    without_beginning(scene)
    scene.reopen()
    revision = scene.commit({"agents/a": {"n": 2}})
    newest = scene.commit({"agents/a": {"n": 3}})

    assert (past(scene, newest), past(scene, 0)) == ({"agents/a": {"n": 3}}, {"agents/a": {"n": 3}})
    with pytest.raises(Compacted) as caught:
        past(scene, revision)
    assert caught.value.fields["oldest"] == newest

    while len(scene.journals()) == 1:
        newest = scene.commit({"agents/b": {"text": "x" * 5000}})
    assert sum(path.stat().st_size for path in scene.journals()) < 100_000
    last = scene.commit({"agents/a": {"n": 4}})
    assert past(scene, newest)["agents/a"] == {"n": 3}
    assert past(scene, last)["agents/a"] == {"n": 4}
    assert len(scene.journals()) == 2


@pytest.mark.parametrize("what", ["folder", "link", "fifo"])
def test_what_stands_in_the_place_of_a_beginning_is_none(tmp_path: Path, what: str) -> None:
    scene = Scene(tmp_path, ROTATING)
    known = fill(scene)
    path = scene.beginning()
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)
    inside = [revision for revision in known if revision > scene.header().base]

    for revision in inside[:-1]:
        with pytest.raises(Compacted):
            past(scene, revision)
    assert past(scene, inside[-1]) == known[inside[-1]]


def test_a_beginning_that_cannot_be_made_keeps_nobody_from_committing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, ROTATING)
    fill(scene)
    planted = scene.path / "waiters"
    planted.symlink_to(tmp_path)  # a folder that may not be listed

    more = fill(scene, 12)

    assert not scene.beginning().exists()
    with pytest.raises(Compacted):
        past(scene, next(revision for revision in more if revision > scene.header().base))
    with pytest.raises(UnsafeFolder):
        past(scene, list(more)[-1])  # the present, as it ever was
    planted.unlink()
    assert past(scene, list(more)[-1]) == list(more.values())[-1]


def test_what_a_killed_writer_left_of_a_rotation_is_removed_by_the_next(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    fill(scene, 5)
    (scene.path / layout.beginning(7)).write_bytes(b"")
    (scene.path / (layout.beginning(8) + ".tmp")).write_bytes(b"")
    (scene.path / "journal" / "notes.records").write_bytes(b"")

    fill(scene, 12)

    assert not (scene.path / layout.beginning(7)).exists()
    assert (scene.path / "journal" / "notes.records").exists()


def test_modes_are_those_of_the_store(tmp_path: Path) -> None:
    for shared, mode in ((False, 0o600), (True, 0o660)):
        scene = Scene(tmp_path / str(shared), Settings(shared=shared))
        scene.commit({"agents/a": {}})
        assert scene.beginning().stat().st_mode & 0o777 == mode


def test_another_store_in_the_same_place_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    known = fill(scene, 5)
    assert past(scene, list(known)[2]) == list(known.values())[2]
    shutil.rmtree(scene.path)

    other = Scene(tmp_path, clock=scene.clock)
    first, newest = other.commit({"agents/b": {}}), other.commit({"agents/c": {}})  # revisions of the one before

    assert past(scene, newest) == {"agents/b": {}, "agents/c": {}}
    assert past(scene, first) == {"agents/b": {}}
    assert next(iter(known)) <= first < newest <= list(known)[-1]


def test_what_a_writer_that_died_rotating_has_left_hides_no_past(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    known = fill(scene, 5)
    marks = scene.store.past().marks(10)
    later = scene.header().base + 10**9
    line = journal.first_line(base=later, previous=scene.header().last, store_id="x", boot="b", marks={}, at="")
    (scene.path / layout.journal(later)).write_bytes(line)

    for store in (scene.store, scene.reopen()):
        assert [past(scene, at) for at in (0, *known)] == [{}, *known.values()]
        assert store.past().marks(10) == marks


def test_only_what_can_be_told_up_to_now_is_marked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    known = fill(scene)
    path = scene.journals()[1]
    path.with_suffix(".records").unlink()

    marked = [revision for revision, _ in scene.store.past().marks(100)]

    assert marked == [revision for revision in known if revision > int(scene.journals()[2].stem)]


def test_a_key_that_cannot_be_kept_is_refused_of_the_past_as_well(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first, _ = fill(scene, 2)
    for question in ({}, {"at": first}):
        with pytest.raises(UsageError):
            scene.store.read("locks/" + "x" * 10_000, **question)


def test_a_backup_that_was_put_back_is_what_is_shown(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a")
    known = fill(scene, 5)
    shutil.copytree(scene.path, tmp_path / "backup")
    gone = list(fill(scene, 5))
    assert past(scene, gone[2])
    shutil.rmtree(scene.path)
    shutil.copytree(tmp_path / "backup", scene.path)

    other = Scene(tmp_path / "a", clock=scene.clock)
    newest = other.commit({"agents/b": {}})

    for revision, state in known.items():
        assert past(other, revision) == past(scene, revision) == state
    assert past(scene, newest)["agents/b"] == {}
    # Here nobody ever committed that revision: it is between two others.
    assert scene.store.read(at=gone[2]).revision == list(known)[-1]


def test_a_look_leaves_no_descriptor_and_no_journal_that_is_gone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    known = list(fill(scene, 200))
    past(scene, known[-15])
    gc.collect()
    before = len(open_files(scene.root))

    for revision in known[-15:]:
        past(scene, revision)
    fill(scene, 100)
    past(scene, next(iter(fill(scene, 3))))

    assert len(open_files(scene.root)) == before
    assert set(scene.store.past()._journals) <= {int(path.stem) for path in scene.journals()}


def test_a_forked_child_looks_by_itself(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    known = fill(scene, 5)
    revision = list(known)[2]
    past(scene, revision)
    with scene.store.past()._mutex:  # as another thread may have it at that moment
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if past(scene, revision) == known[revision] else 2
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_threads_look_while_another_one_commits(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Settings(journal_bytes_max=4000, journals_kept_count=50))
    known = fill(scene, 30)
    wrong: list[Any] = []
    over = threading.Event()

    def look(number: int) -> None:
        while not over.is_set():
            for revision, state in list(known.items())[number::3]:
                if past(scene, revision) != state:
                    wrong.append(revision)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    fill(scene, 200)
    over.set()
    for thread in threads:
        thread.join()

    assert not wrong


def test_a_journal_that_is_damaged_after_it_was_read_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    known = fill(scene, 5)
    first = next(iter(known))
    assert past(scene, first) == known[first]
    data = scene.journal().read_bytes()
    scene.journal().write_bytes(data.replace(b'"n":0', b'"n":7'))

    with pytest.raises(Compacted, match="damaged"):
        past(scene, first)


def damage(chance: random.Random, paths: list[Path]) -> None:
    """Do to one file what a disk, a person or a bad program may do."""
    path = chance.choice(paths)
    data = bytearray(path.read_bytes())
    lines = bytes(data).split(b"\n")
    line = chance.randrange(len(lines))
    kind = chance.choice(
        ["flipped", "cut", "appended", "line gone", "line twice", "line elsewhere", "another's", "gone"]
    )
    if kind == "flipped":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    elif kind == "cut":
        os.truncate(path, chance.randrange(len(data)))
    elif kind == "appended":
        path.write_bytes(bytes(data) + lines[line] + b"\n")
    elif kind == "another's":
        shutil.copy(chance.choice([other for other in paths if other.suffix == path.suffix]), path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    elif kind == "gone":
        path.unlink()
    else:
        moved = lines.pop(line)
        if kind != "line gone":
            lines.insert(chance.randrange(len(lines)), moved)
        if kind == "line twice":
            lines.insert(line, moved)
        path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_to_its_files_the_past_is_told_exactly_or_not_at_all(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    scene = Scene(tmp_path, ROTATING)
    known: dict[int, State] = {}
    state: State = {}
    for n in range(30):
        key = f"locks/{n % 5}"
        is_over = key in state and chance.random() < 0.4
        state = {k: v for k, v in state.items() if k != key} if is_over else {**state, key: {"n": n, "text": "x" * 80}}
        known[scene.commit({}, key) if is_over else scene.commit({key: state[key]})] = state
    before = scene.store if seed % 2 else scene.reopen()
    if seed % 2:
        past(scene, next(reversed(known)))  # it has read the journals as they were
    newest = next(reversed(known))
    for _ in range(2):
        damage(chance, [path for path in (scene.path / "journal").glob("*.*") if path.stat().st_size])

    for revision, state in known.items():
        if revision != newest:  # that is what there is now
            try:
                assert past(scene, revision) == state
            except Compacted as exc:
                assert exc.fields["oldest"] > revision
    for revision, _ in before.past().marks(50):
        assert revision in known


def test_a_first_line_that_is_damaged_costs_its_journal_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    known = fill(scene, 40)
    path = scene.journals()[-2]
    path.write_bytes(b"x" + path.read_bytes()[1:])
    base, end = int(path.stem), scene.first_line()["previous"]

    for revision, state in known.items():
        if base < revision < end:
            with pytest.raises(Compacted):
                past(scene, revision)
        elif revision > int(scene.journals()[0].stem):
            assert past(scene, revision) == state


def test_the_size_of_a_beginning_is_enough_to_tell_that_it_is_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ROTATING)
    fill(scene)
    folder = scene.store._folder
    assert folder is not None
    base = scene.header().base
    previous = beginning.previous(folder, base)
    assert previous == scene.first_line()["previous"]

    data = scene.beginning().read_bytes()
    for wrong in (data[:-1], data + b"x", b"", b"\n", data[1:]):
        scene.beginning().write_bytes(wrong)
        assert beginning.previous(folder, base) is None
        assert beginning.load(folder, base, but=set()) is None
