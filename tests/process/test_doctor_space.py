"""Repairs without room, and where nothing can be written: told, nothing lost, and done as soon as it can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import doctoring
from latchboard.doctor.mending import Deed
from latchboard.errors import CoordinationError
from latchboard.store.files import journal_end
from tests.process import space
from tests.process import test_doctor_findings as scenes
from tests.process.nursery import Channel, Nursery
from tests.process.queue_scenes import claims_that_are_gone
from tests.process.ward import Ward

pytestmark = pytest.mark.process

SECRET = b'{"schema_version": 1, "access_token": "half a gra'
SOME_COUNT_MAX = 25
"""So many files more than none are enough for every repair of a small store."""


def damaged_credential(ward: Ward) -> None:
    scenes.configured(ward).write_bytes(SECRET)


def unknown_claims(ward: Ward) -> None:
    ward.fill().close()
    claims_that_are_gone(ward)


SCENES: dict[str, tuple[str, Callable[[Ward], None], bytes]] = {
    "record": ("fix", scenes.garbage_lock, b"\0garbage"),
    "format": ("fix", scenes.garbage_format, b"{"),
    "line": ("fix", scenes.damaged_line, b""),
    "header": ("fix", scenes.garbage_header, b""),
    "aside": ("fix", scenes.unknown_garbage, b"{"),
    "queue": ("fix", unknown_claims, b""),
    "reset": ("reset", damaged_credential, SECRET),
}
"""What is asked for, what is wrong, and what must be some file's content whatever happens."""


@contextmanager
def no_more_bytes(folder: Path, left: int) -> Iterator[None]:
    """But so many pages."""
    space.fill(f"{folder}/ballast", pages_left=left)
    yield
    (folder / "ballast").unlink()


@contextmanager
def no_more_files(folder: Path, left: int) -> Iterator[None]:
    """But so many."""
    made: list[str] = []
    try:
        while True:
            path = f"{folder}/ballast{len(made)}"
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            made.append(path)
    except OSError:
        kept = len(made) - left
    for path in made[kept:]:
        os.unlink(path)
    yield
    for path in made[:kept]:
        os.unlink(path)


def _files(ward: Ward) -> dict[str, bytes]:
    found = {str(path.relative_to(ward.store)): path.read_bytes() for path in ward.store.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if not name.startswith("backups/")}


def _wrong(ward: Ward, kind: str, before: dict[str, bytes], wanted: bytes, known: set[Path]) -> list[str]:
    """What a repair that was refused has broken."""
    found = []
    if wanted and not any(wanted == path.read_bytes() for path in ward.folder.rglob("*") if path.is_file()):
        found.append("what was there is lost")
    for copy in set(ward.store.glob("backups/*")) - known:
        names = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
        needed = {name for name in before if name == "FORMAT" or name.startswith("journal/")}
        needed = {name for name in needed if not name.endswith((".tmp", "bell"))}
        found += [f"a copy without {name}" for name in needed - names if not copy.name.endswith("-queue")]
        differ = [name for name in names & set(before) if copy.joinpath(name).read_bytes() != before[name]]
        found += [f"{name} was copied in part" for name in differ]
    board = ward.board()
    for name in ("src/0.py", "src/1.py") if kind == "fix" else ():
        try:  # to try to lock it would be a commit, which mends
            who = [one["agent"] for one in board.locks.check([name])]
        except CoordinationError:
            continue  # it cannot be read, and counts as held
        found += [] if who == ["planner"] else [f"{name}: {who}"]
    board.close()
    return found


def mending(channel: Channel, root: str, scene: str) -> None:
    """One repair, with no room at first and with some more each time, on a disk of its own."""
    try:
        space.own_mounts()
        space.mount_tmpfs(root, "1m,nr_inodes=200")
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    journal_end._STILL_S = 0.02  # type: ignore[misc]  # nobody else is here to wait for
    kind, damage, wanted = SCENES[scene]
    folder = Path(root)
    ward = Ward(folder, os.environ.__setitem__)
    damage(ward)
    problems: list[str] = []
    refused_count = 0
    rooms = [(no_more_files, left) for left in range(SOME_COUNT_MAX)]
    for hold, left in [(no_more_bytes, 0), *rooms] if kind == "fix" else rooms:  # a renaming takes no bytes here
        before, known = _files(ward), set(ward.store.glob("backups/*"))
        with hold(folder, left):
            deeds = doctoring.mend(ward.board(), kind, dry_run=False)
        problems += [f"{hold.__name__} {left}: {one}" for one in _wrong(ward, kind, before, wanted, known)]
        problems += [f"{left}: {one.what} has no reason" for one in deeds if not one.is_done and not one.why_not]
        if all(one.is_done for one in deeds):
            break
        refused_count += 1
    again = doctoring.mend(ward.board(), kind, dry_run=False)
    channel.send(
        problems=problems[:9],
        refused_count=refused_count,
        again=[one.what for one in again],
        ids=[one.id for one in ward.look().findings],
        names=[path.name for path in ward.store.glob("backups/*")],
    )


@pytest.mark.parametrize("scene", SCENES)
def test_a_repair_without_room_is_told_loses_nothing_and_is_done_with_some(
    scene: str, nursery: Nursery, memory_path: Path, require: Any
) -> None:
    answer = nursery.start(mending, root=str(memory_path), scene=scene).receive()
    require("refused" not in answer, f"a mount namespace with a tmpfs: {answer.get('refused')}")

    assert answer["problems"] == []
    assert answer["refused_count"] > (0 if scene == "reset" else 3)
    assert answer["again"] == []
    assert set(answer["ids"]) <= ({"F-001"} if scene == "reset" else {"F-124"})
    assert [name for name in answer["names"] if name.endswith(".part")] == []


def reading(channel: Channel, folder: str, root: str, state: str) -> None:
    """Repairs where nothing can be written."""
    os.environ["XDG_STATE_HOME"] = state
    try:
        space.own_mounts()
        space.mount_read_only(folder)
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    channel.send(deeds=[one.to_json() for kind in ("fix", "reset", "unstick-lock") for one in _mend(root, kind)])


def _mend(root: str, kind: str) -> list[Deed]:
    return doctoring.mend(doctoring.patient(root)[0], kind, dry_run=False)


@pytest.mark.parametrize("damage", [scenes.garbage_lock, scenes.garbage_format, scenes.garbage_header])
def test_a_repair_on_a_read_only_disk_is_told_and_changes_nothing(
    damage: Callable[[Ward], None], ward: Ward, nursery: Nursery, require: Any
) -> None:
    damage(ward)
    scenes.machine_lock(ward, age_s=3600)
    (ward.state / "github.json").write_bytes(SECRET)
    before = ward.files()

    paths = {"folder": str(ward.folder), "root": str(ward.root), "state": os.environ["XDG_STATE_HOME"]}
    answer = nursery.start(reading, **paths).receive()
    require("refused" not in answer, f"a mount namespace with a read-only mount: {answer.get('refused')}")

    assert {one["kind"] for one in answer["deeds"]} == {"fix", "reset", "unstick-lock"}
    assert [one["is_done"] for one in answer["deeds"]] == [False] * len(answer["deeds"])
    assert ["Read-only file system" in one["why_not"] for one in answer["deeds"]] == [True] * len(answer["deeds"])
    assert ward.files() == before
    for kind in ("fix", "reset", "unstick-lock"):
        assert {one.is_done for one in _mend(str(ward.root), kind)} == {True}
