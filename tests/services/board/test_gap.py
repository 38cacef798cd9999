"""What the board says behind a gap in the journal: of what was lost nothing, of what came since everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.board.fold import SPAN_BYTES
from latchboard.clock import iso
from latchboard.errors import Compacted
from latchboard.store.files.follow import Tail
from latchboard.testing import FakeHost, ManualClock


class Scene:
    """A project in which agents lock one file after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.host = FakeHost()
        self.me = self.host.as_process(self.host.spawn())
        self.project = self.open()
        self.count = 0

    def open(self) -> Latchboard:
        return Latchboard(self.root, clock=self.clock, host=self.me, publishes=False)

    def work(self, name: str) -> int:
        """An agent takes a file and gives it back."""
        self.clock.advance(1)
        self.count += 1
        locks = self.project.locks
        locks.acquire(locks.request(name, [f"{self.count}.py"])).release()
        return self.project.store.read("wide").revision

    @property
    def journal(self) -> Path:
        return sorted((self.root / "data/.agent_locks/journal").glob("*.jsonl"))[-1]

    def damage(self, revision: int) -> None:
        """Scribble on the line of one commit."""
        data = bytearray(self.journal.read_bytes())
        data[revision - int(self.journal.stem) + 20] ^= 1
        self.journal.write_bytes(data)

    def lose(self, revision: int) -> None:
        """A power cut takes this commit and all behind it, and the machine starts again."""
        with open(self.journal, "r+b") as file:
            file.truncate(revision - int(self.journal.stem))
        self.clock.reboot()
        self.project = self.open()


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


@pytest.mark.parametrize("happens", [Scene.damage, Scene.lose])
def test_what_came_behind_a_gap_is_told(tmp_path: Path, happens: Callable[[Scene, int], None]) -> None:
    scene = Scene(tmp_path)
    scene.work("early")
    happens(scene, scene.work("lost"))
    for _ in range(3):
        newest = scene.work("late")
    fresh = scene.open().board

    for board in (fresh, fresh, scene.project.board):
        told = board.read()
        assert (told["revision"], told["last_updated"]) == (newest, scene.project.replay.at(newest)["last_updated"])
        assert names(told["file_modification_history"])[-2:] == ["4.py", "5.py"]
        assert names(fresh.lately(10))[-2:] == ["5.py", "5.py"]
    assert list(dict.fromkeys(names(fresh.history()))) == [f"{n}.py" for n in range(1, 6)]


def test_whoever_has_read_behind_a_gap_reads_on_and_does_not_begin_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.work("early")
    scene.damage(scene.work("lost"))
    scene.work("late")
    fold = scene.open().board._fold
    state = fold.advance()
    scene.work("late")

    assert fold.advance() is state


def test_a_newest_commit_that_is_damaged_leaves_the_records(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.work("early")
    newest = scene.work("lost")
    scene.damage(newest)
    board = scene.open().board

    told = board.read()

    assert (told["revision"], told["file_modification_history"]) == (newest, [])
    assert names(board.history()) == ["1.py", "1.py", "2.py"]
    assert scene.work("late") == board.read()["revision"]


def test_a_gap_farther_back_than_a_start_reads_is_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.damage(scene.work("lost"))
    long = {"n": "x" * SPAN_BYTES}
    scene.project.store.transact(lambda view: view.put("agents/long", long), who="a")
    scene.work("late")

    assert names(scene.open().board.read()["file_modification_history"]) == ["2.py"]


def test_a_journal_in_which_nothing_was_committed_is_no_gap(tmp_path: Path) -> None:
    """The machine started again and again, and somebody looked whether there was something to do."""
    scene = Scene(tmp_path)
    early = scene.work("early")
    for _ in range(3):
        scene.clock.reboot()
        scene.project = scene.open()
        scene.project.store.transact(lambda view: None, who="nobody")
    late = scene.work("late")
    told = scene.project.replay

    assert told.at(early)["revision"] == early
    assert names(told.at(late)["file_modification_history"]) == ["1.py", "2.py"]
    assert told.at(late) == {**scene.open().board.read()}
    assert Tail(scene.project.store.path).behind_gap() == 0


def test_the_newest_whose_commit_is_not_kept_is_the_board_as_it_is_now(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.work("early")
    newest = scene.work("lost")
    scene.damage(newest)
    scene.clock.advance(5)
    told = scene.project.replay

    assert told.at(newest) == scene.open().board.read()
    assert told.at(newest)["last_updated"] == iso(scene.clock.now().wall_s)
    last = told.commits()[-1]["revision"]
    assert last < newest
    with pytest.raises(Compacted):
        told.commits(after=last)


def test_another_commit_in_the_place_of_one_is_not_taken_for_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    told, store = scene.project.replay, scene.project.store
    revisions = []
    for value in ({"n": 1}, None, {"n": 1}, None):
        scene.clock.advance(1)
        revisions.append(store.transact(lambda view, value=value: put(view, value), who="a").revision)
    assert told.at(revisions[1])["revision"] == revisions[1]
    first, *lines = scene.journal.read_bytes().split(b"\n")

    scene.journal.write_bytes(b"\n".join([first, *lines[2:]]))

    with pytest.raises(Compacted):
        told.at(revisions[1])


def put(view: Any, value: dict[str, Any] | None) -> None:
    if value is None:
        view.delete("agents/a")
    else:
        view.put("agents/a", value)
