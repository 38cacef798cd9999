"""Sweeping: what is over goes, with its bytes; what may be needed stays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.services.editing.test_foreign import Scene

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86400


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def sweep(scene: Scene, *, dry_run: bool = False) -> dict[str, int]:
    for path in (scene.root / "data/.agent_locks/kept").iterdir():
        os.utime(path, (1_500_000_000, 1_500_000_000))
    return scene.board.cleanup.run(dry_run=dry_run).editing


def kept(scene: Scene) -> set[bytes]:
    return {path.read_bytes() for path in (scene.root / "data/.agent_locks/kept").iterdir()}


NOTHING = {"images": 0, "calls": 0, "conflicts": 0, "kept": 0}


def test_what_is_held_stays(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")

    assert sweep(scene) == NOTHING
    assert kept(scene) == {b"one"}


def test_the_image_of_a_lost_hold_goes_with_its_bytes(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.board.locks.release_names("A")

    planned = sweep(scene, dry_run=True)
    done = sweep(scene)

    assert planned == {**NOTHING, "images": 1}
    assert done == {**NOTHING, "images": 1, "kept": 1}
    assert sweep(scene) == NOTHING
    assert kept(scene) == set()


def test_older_bytes_of_a_held_file_go(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.write("a", "two")
    scene.board.editing.done("A")

    assert sweep(scene) == {**NOTHING, "kept": 1}
    assert kept(scene) == {b"two"}


def test_a_conflict_keeps_both_sides_and_the_diff_for_a_week(scene: Scene) -> None:
    scene.write("a", "one\n")
    scene.hold("A", "a")
    scene.before("B")
    scene.write("a", "two\n")
    scene.after("B")
    scene.board.editing.end("A")

    scene.clock.advance(6 * DAY_S)
    assert sweep(scene)["conflicts"] == 0
    assert {b"one\n", b"two\n"} < kept(scene)
    assert len(kept(scene)) == 3

    scene.clock.advance(1 * DAY_S + 1)
    done = sweep(scene)
    assert (done["conflicts"], done["kept"]) == (1, 3)
    assert scene.board.conflicts.every() == []


def test_a_call_that_lost_its_end_goes(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.before("B")

    assert sweep(scene)["calls"] == 0
    scene.clock.advance(DAY_S - 10)
    assert sweep(scene)["calls"] == 0
    scene.clock.advance(11)
    assert sweep(scene)["calls"] == 1


def test_where_a_record_cannot_be_read_no_bytes_go(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.write("a", "two")
    scene.board.editing.done("A")
    scene.board.store.transact(lambda view: view.put("conflicts/bad", {"id": "bad"}), who="x")

    assert sweep(scene) == NOTHING
    assert kept(scene) == {b"one", b"two"}


def test_bytes_that_were_just_kept_stay(scene: Scene) -> None:
    scene.write("a", "one")
    scene.hold("A", "a")
    scene.board.images.kept.keep(b"about to be referred to")

    assert scene.board.cleanup.run().editing == NOTHING
    assert b"about to be referred to" in kept(scene)
