"""What the supervisor waits for between two turns, what it writes and keeps; on a fake machine, as its turns are."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import StoreUnavailable
from latchboard.host.fake import FakeHost
from tests.services.test_supervision import Child, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Scene(tmp_path)
    yield made
    made.close()


def waited(scene: Scene, until_s: float = 5.0) -> tuple[list[Any], float]:
    """What the next wait is for, and for how long at most."""
    found: list[tuple[list[Any], float]] = []
    scene.clock.wait = lambda readables, for_s: bool(found.append((list(readables), for_s)))  # type: ignore[method-assign,assignment,func-returns-value]
    scene.keeper._wait(until_s)
    return found[0]


def test_it_waits_for_the_bell_and_for_children_by_it(scene: Scene) -> None:
    scene.want(builder=2)
    scene.turn()

    assert waited(scene) == ([scene.bell], 5.0)


def test_a_pause_is_not_slept_over(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.machine.kill(scene.children[0][2].identity)
    scene.turn()
    scene.clock.advance(0.75)

    assert waited(scene)[1] == pytest.approx(0.25)


def test_the_end_of_a_worker_that_was_taken_over_is_waited_for(scene: Scene) -> None:
    scene.want(builder=1)
    worker = scene.worker("builder", 1)
    scene.keeper.take_over()
    scene.turn()

    readables, for_s = waited(scene)

    assert (len(readables), for_s) == (2, 5.0)
    watch = readables[1]
    scene.close()
    with pytest.raises((OSError, ValueError)):
        select.select([watch], [], [], 0)
    assert worker is not None
    scene.keeper = scene.make()


def test_who_cannot_be_told_of_an_end_looks_often(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.want(builder=1)
    scene.worker("builder", 1)
    monkeypatch.setattr(FakeHost, "death_watch", lambda *_: None)  # as on a kernel without them
    scene.keeper.take_over()

    assert waited(scene)[1] == pytest.approx(0.2)


def test_a_bell_that_nobody_else_can_ring_is_looked_at_often(scene: Scene) -> None:
    scene.bell.is_heard_by_all = False

    assert waited(scene)[1] == pytest.approx(0.2)


def test_an_end_rings(scene: Scene) -> None:
    """It came from a thread of its own: nobody else would look before the turns' longest pause."""
    scene.want(builder=1)
    scene.turn()
    scene.want(builder=0)
    scene.bell.clear()

    scene.turn()

    assert select.select([scene.bell], [], [], 0)[0] == [scene.bell]


def test_a_state_that_did_not_change_is_not_written_again(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    path = Path(scene.root) / "data" / ".agent_pids" / "agents.state"
    written = os.stat(path)
    path.chmod(0o600)

    scene.turn()

    assert path.stat().st_mode & 0o777 == 0o600, "a new one would have another mode"
    assert path.stat().st_ino == written.st_ino


def test_a_disk_that_does_not_answer_displaces_nobody(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.want(builder=1)
    scene.turn()

    def fail() -> bool:
        raise StoreUnavailable("it cannot be read", path="x", errno=5)

    scene.place.is_held = fail  # type: ignore[method-assign]

    assert [scene.turn(), scene.turn()] == ["", ""]
    assert [one.getMessage() for one in caplog.records if "what=look" in one.getMessage()] == [
        "agents.troubled what=look why=it cannot be read"
    ]


def test_deaths_and_the_last_end_are_known_to_the_next_supervisor(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.machine.kill(scene.children[0][2].identity)
    scene.turn()
    scene.clock.advance(1.0)
    scene.turn()
    before = scene.slots()["builder", 1]
    scene.close()
    scene.keeper = scene.make()

    scene.keeper.take_over()
    scene.turn()

    after = scene.slots()["builder", 1]
    assert before["deaths"] == 1 and before["last"]["signal"] == 9
    assert {name: after[name] for name in ("deaths", "last", "process")} == {
        name: before[name] for name in ("deaths", "last", "process")
    }


def test_who_is_refused_is_kept_until_somebody_asks_and_started_at_once_then(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.children[0][2].exit_status = 2
    scene.machine.kill(scene.children[0][2].identity)

    assert [scene.turn(), scene.turn()] == ["", ""]
    assert (scene.live(), scene.slots()["builder", 1]["state"]) == ([], "refused")
    scene.want(builder=1)
    scene.turn()

    assert scene.live() == [("builder", 1)]
    scene.children[1][2].exit_status = 2
    scene.machine.kill(scene.children[1][2].identity)
    scene.turn()
    scene.want(builder=0)
    assert scene.turn() == "done"


def test_a_child_whose_process_is_another_ones_by_now_has_not_ended_before_the_system_says_so(scene: Scene) -> None:
    """Its status would be lost: the system tells it once."""

    class Slow(Child):
        def status(self, wait_s: float) -> int | None:
            return self.exit_status

    scene.want(builder=1)
    child = Slow(scene.machine, scene.worker("builder", 1))
    scene.launch = lambda *_: child  # type: ignore[method-assign]
    scene.close()
    scene.keeper = scene.make()
    scene.turn()
    scene.machine.kill(child.identity)

    scene.turn()
    assert scene.slots()["builder", 1]["state"] == "running"
    child.exit_status = 7
    scene.turn()

    assert scene.slots()["builder", 1]["last"]["status"] == 7


def test_who_is_told_to_end_says_no_more_than_it_has_read(scene: Scene) -> None:
    """Whoever starts workers next waits for the revision that he writes: it must not have been told before."""
    scene.want(builder=1)
    scene.turn()
    path = Path(scene.root) / "data" / ".agent_pids" / "agents.state"

    said = []
    for _ in range(3):
        scene.turn(end=True)
        said.append(json.loads(path.read_text())["revision"])

    assert said == [scene.wanted.revision] * 3
    assert scene.live() == []
