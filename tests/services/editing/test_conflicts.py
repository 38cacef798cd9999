"""Conflicts: the holder's bytes put back under its lock, and never over newer work silently."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from latchboard.errors import HoldLost, LockHeld, MalformedRecord, Refused, UsageError
from tests.services.editing.test_foreign import Scene

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def hurt(scene: Scene, *names: str) -> str:
    """A holds these, B's shell call wrote them; the id of the conflict."""
    for name in names:
        scene.write(name, "holder's\n")
    scene.hold("A", *names)
    scene.before("B")
    for name in names:
        scene.write(name, "other's\n")
    (found,) = scene.after("B")
    return str(found["id"])


def test_the_holder_gets_its_bytes_back_and_nobody_is_accused_of_that(scene: Scene) -> None:
    its_id = hurt(scene, "a", "b")

    done = scene.board.conflicts.restore("A", its_id)

    assert done == {"restored": ["a", "b"], "unchanged": []}
    assert (scene.root / "a").read_text() == (scene.root / "b").read_text() == "holder's\n"
    assert [*scene.before("C"), *scene.after("C")] == []
    (held,) = scene.board.locks.check(["a"])
    assert (held["agent"], held["bound"]) == ("A", "agent")


def test_it_is_done_once(scene: Scene) -> None:
    its_id = hurt(scene, "a")
    scene.board.conflicts.restore("A", its_id)

    assert scene.board.conflicts.restore("A", its_id) == {"restored": [], "unchanged": ["a"]}


def test_one_file_of_several(scene: Scene) -> None:
    its_id = hurt(scene, "a", "b")

    scene.board.conflicts.restore("A", its_id, ["b"])

    assert (scene.root / "a").read_text() == "other's\n"
    assert (scene.root / "b").read_text() == "holder's\n"


def test_nobody_else_puts_them_back_while_the_holder_holds(scene: Scene) -> None:
    its_id = hurt(scene, "a")

    with pytest.raises(LockHeld):
        scene.board.conflicts.restore("B", its_id)
    assert (scene.root / "a").read_text() == "other's\n"

    scene.board.editing.end("A")
    scene.board.conflicts.restore("B", its_id)
    assert (scene.root / "a").read_text() == "holder's\n"
    assert scene.board.locks.check(["a"]) == []


def test_newer_work_is_not_written_over_unless_it_is_kept(scene: Scene) -> None:
    its_id = hurt(scene, "a", "b")
    scene.write("a", "newer\n")

    with pytest.raises(Refused, match="changed again"):
        scene.board.conflicts.restore("A", its_id)
    assert (scene.root / "a").read_text() == "newer\n"
    assert (scene.root / "b").read_text() == "other's\n"

    scene.board.conflicts.restore("A", its_id, over=True)
    assert (scene.root / "a").read_text() == "holder's\n"
    noted = scene.board.conflicts.get(its_id)["restored"]
    assert scene.bytes_of(next(one["over"] for one in noted if one["name"] == "a")) == b"newer\n"


def test_a_deleted_file_comes_back_with_its_mode(scene: Scene) -> None:
    scene.write("run.sh", "#!/bin/sh\n")
    (scene.root / "run.sh").chmod(0o750)
    scene.hold("A", "run.sh")
    scene.before("B")
    (scene.root / "run.sh").unlink()
    (found,) = scene.after("B")

    scene.board.conflicts.restore("A", found["id"])

    assert (scene.root / "run.sh").read_text() == "#!/bin/sh\n"
    assert stat.S_IMODE((scene.root / "run.sh").stat().st_mode) == 0o750


def test_a_folder_in_its_place_is_not_touched(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.before("B")
    (scene.root / "a").unlink()
    scene.write("a/inside", "two")
    (found,) = scene.after("B")

    with pytest.raises(UsageError):
        scene.board.conflicts.restore("A", found["id"])
    assert (scene.root / "a/inside").read_text() == "two"


def test_a_link_that_leads_elsewhere_is_not_followed(scene: Scene) -> None:
    its_id = hurt(scene, "src/a")
    os.rename(scene.root / "src", scene.root / "real")
    os.symlink("real", scene.root / "src")

    with pytest.raises((UsageError, LockHeld, HoldLost)):
        scene.board.conflicts.restore("A", its_id, over=True)
    assert (scene.root / "real/a").read_text() == "other's\n"


def test_a_file_that_was_not_there_cannot_be_put_back(scene: Scene) -> None:
    scene.hold("A", "new")
    scene.before("B")
    scene.write("new", "two")
    (found,) = scene.after("B")

    with pytest.raises(UsageError, match="there was no file"):
        scene.board.conflicts.restore("A", found["id"])


def test_bytes_that_are_gone_or_damaged_are_not_written(scene: Scene) -> None:
    its_id = hurt(scene, "a")
    before = scene.board.conflicts.get(its_id)["files"][0]["before"]
    assert before is not None
    (scene.root / "data/.agent_locks/kept" / before["sha256"]).write_text("else")

    with pytest.raises(UsageError, match="not what they were"):
        scene.board.conflicts.restore("A", its_id)
    assert (scene.root / "a").read_text() == "other's\n"


def test_unknown_conflicts_and_files_are_named(scene: Scene) -> None:
    its_id = hurt(scene, "a")

    with pytest.raises(UsageError, match="no conflict"):
        scene.board.conflicts.get("nowhere")
    with pytest.raises(UsageError, match="not of that conflict"):
        scene.board.conflicts.restore("A", its_id, ["b"])


def test_a_damaged_conflict_is_passed_over_in_the_list_and_named_by_its_id(scene: Scene) -> None:
    its_id = hurt(scene, "a")
    scene.board.store.transact(lambda view: view.put("conflicts/bad", {"id": "bad"}), who="x")

    assert [one["id"] for one in scene.board.conflicts.every()] == [its_id]
    with pytest.raises(MalformedRecord):
        scene.board.conflicts.get("bad")
