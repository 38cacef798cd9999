"""How workers are told to stand: by their processes and entries, whatever the records say; on a fake machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.daemon_process import Recorded
from latchboard.errors import CoordinationError, StoreUnavailable
from latchboard.host.daemon_entry import Entry
from latchboard.rules import supervision as rules
from latchboard.supervision.looking import Looking, Report
from latchboard.supervision.record import ObservedFile, WantedFile
from tests.services.test_supervision import Scene


class Supervisor:
    """As it is recorded."""

    state: Any = "running"

    def verify(self) -> Recorded:
        return Recorded(self.state, 4242, "", None, Entry(None, None))


class Watched(Scene):
    """The scene, and somebody who looks at it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.supervisor, self.jobs = Supervisor(), dict[str, str]()
        self.trouble: CoordinationError | None = None
        self.looking = Looking(
            self.root,
            machine=self.machine,
            supervisors=self.supervisor,  # type: ignore[arg-type]
            wanted_file=WantedFile(self.root),
            observed_file=ObservedFile(self.root),
            jobs=self.ask,
        )

    def ask(self) -> dict[str, str]:
        if self.trouble is not None:
            raise self.trouble
        return self.jobs

    def register(self, role: str, number: int, process: Any) -> None:
        path = Path(self.root) / "data" / ".agent_pids" / f"worker.{role}.{number}.json"
        path.write_text(json.dumps({"process": process, "started_at": "2026-11-21T11:24:21.540466Z"}))

    def look(self, *roles: str) -> Report:
        return self.looking.look(roles, {"builder": {}})

    def states(self, *roles: str) -> dict[str, tuple[str, bool]]:
        return {one["name"]: (one["state"], one["is_supervised"]) for one in self.look(*roles).workers}

    def is_settled(self, **counts: int) -> bool:
        return self.looking.is_settled(self.wanted, counts)


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Watched(tmp_path)
    yield made
    made.close()


def test_a_worker_is_what_its_process_its_entry_and_its_claim_say(scene: Watched) -> None:
    scene.want(builder=4)
    scene.turn()
    process = [child.identity for _, _, child in scene.children]
    for number in (1, 2, 3):
        scene.register("builder", number, process[number - 1])
    scene.register("builder", 4, scene.machine.spawn())
    scene.jobs = {"worker.builder.2": "a", "worker.builder.4": "b"}
    scene.machine.kill(process[2])

    assert scene.states() == {
        "worker.builder.1": ("idle", True),
        "worker.builder.2": ("working", True),
        "worker.builder.3": ("waiting", True),
        "worker.builder.4": ("starting", True),
    }
    found = scene.look()
    assert [one["job"] for one in found.workers] == [None, "a", None, None]
    assert [one["pid"] for one in found.workers] == [process[0]["pid"], process[1]["pid"], None, process[3]["pid"]]
    assert (found.roles[1]["wanted"], found.roles[1]["registered"], found.is_as_wanted) == (4, 2, False)


def test_a_store_that_tells_of_no_jobs_is_told_and_asked_only_where_somebody_may_have_one(scene: Watched) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.trouble = StoreUnavailable("nobody answers")
    assert scene.look().trouble == ""
    scene.register("builder", 1, scene.children[0][2].identity)

    found = scene.look()

    assert found.to_json()["trouble"] == "nobody answers"
    assert (found.workers[0]["job"], found.workers[0]["state"], found.is_as_wanted) == (None, "idle", True)


def test_who_works_is_there_as_wanted(scene: Watched) -> None:
    assert not scene.look().is_as_wanted, "nothing is wanted"
    scene.want(builder=1)
    scene.turn()
    scene.register("builder", 1, scene.children[0][2].identity)
    scene.jobs = {"worker.builder.1": "a"}

    assert scene.look().is_as_wanted and scene.look("builder").is_as_wanted
    assert not scene.look("tester").is_as_wanted


def test_a_worker_whose_number_another_machine_has_stands_in_its_slot_by_the_name_that_it_got(scene: Watched) -> None:
    scene.want(builder=3)
    scene.turn()
    first, second, third = (child.identity for _, _, child in scene.children)
    by_hand = scene.machine.spawn()
    for number, process in ((1, by_hand), (2, first), (4, second)):
        scene.register("builder", number, process)
    scene.jobs = {"worker.builder.2": "a", "worker.builder.1": "b"}

    found = scene.look()

    assert [(one["number"], one["name"], one["state"], one["job"], one["pid"]) for one in found.workers] == [
        (1, "worker.builder.2", "working", "a", first["pid"]),
        (2, "worker.builder.4", "idle", None, second["pid"]),
        (3, "worker.builder.3", "starting", None, third["pid"]),
        (4, "worker.builder.1", "working", "b", by_hand["pid"]),
    ]
    assert not scene.is_settled(builder=3)
    scene.register("builder", 7, third)
    assert scene.is_settled(builder=3) and scene.look().is_as_wanted


def test_without_a_supervisor_nothing_is_wanted_and_who_is_there_is_shown(scene: Watched) -> None:
    scene.want(builder=2)
    scene.turn()
    scene.register("builder", 1, scene.children[0][2].identity)
    scene.machine.kill(scene.children[1][2].identity)
    scene.supervisor.state = "stale"

    found = scene.look()

    assert (found.supervisor, found.is_as_wanted) == (None, False)
    assert [one["name"] for one in found.workers] == ["worker.builder.1"]
    assert [one["wanted"] for one in found.roles] == [0, 0, 0, 0, 0]


def test_who_runs_beside_the_supervisor_is_shown_and_an_entry_of_the_dead_is_nobody(scene: Watched) -> None:
    by_hand, dead = scene.machine.spawn(), scene.machine.spawn()
    scene.machine.kill(dead)
    scene.register("builder", 1, by_hand)
    scene.register("tester", 1, dead)

    assert scene.states() == {"worker.builder.1": ("idle", False)}
    assert scene.look().left == []


def test_who_is_told_to_end_is_stopping_as_long_as_it_is_there(scene: Watched) -> None:
    scene.want(builder=1)
    scene.turn()
    process = scene.children[0][2].identity
    scene.register("builder", 1, process)
    scene.machine.dress(process, on_term="survives", argv=None)
    scene.want(builder=0)
    scene.turn()

    assert scene.states() == {"worker.builder.1": ("stopping", True)}
    assert [one["pid"] for one in scene.look().left] == [process["pid"]]


def test_a_start_is_over_when_each_is_registered_has_died_or_is_refused(scene: Watched) -> None:
    scene.want(builder=2)
    assert not scene.is_settled(builder=2), "nobody has read it"
    scene.turn()
    assert not scene.is_settled(builder=2), "they are there, and not ready"
    one, two = (child for _, _, child in scene.children)
    scene.register("builder", 1, one.identity)
    scene.register("builder", 2, one.identity)
    assert not scene.is_settled(builder=2), "the entry is another's"
    scene.register("builder", 2, two.identity)
    assert scene.is_settled(builder=2)
    scene.want(builder=2)
    assert not scene.is_settled(builder=2), "nobody has read that"

    scene.restart("builder")
    assert not scene.is_settled(builder=2), "that was the round before"
    scene.turn()
    scene.turn()
    for number, child in ((1, scene.children[2][2]), (2, scene.children[3][2])):
        scene.register("builder", number, child.identity)
    assert scene.is_settled(builder=2)
    scene.machine.kill(scene.children[2][2].identity)
    scene.children[3][2].exit_status = rules.REFUSED_STATUS
    scene.machine.kill(scene.children[3][2].identity)
    scene.turn()
    assert scene.is_settled(builder=2), "the one has died, the other is refused"


def test_a_start_of_fewer_is_over_when_the_others_are_gone(scene: Watched) -> None:
    scene.want(builder=2)
    scene.turn()
    scene.register("builder", 1, scene.children[0][2].identity)
    scene.machine.dress(scene.children[1][2].identity, on_term="survives", argv=None)
    scene.want(builder=1)
    scene.turn()
    assert not scene.is_settled(builder=1)

    scene.machine.kill(scene.children[1][2].identity)
    scene.turn()

    assert scene.is_settled(builder=1)


def test_a_slot_that_waits_for_its_first_start_settles_nothing(scene: Watched) -> None:
    """Its worker has not died: it has not been tried yet."""
    scene.want(builder=1)
    slot = rules.Slot("builder", 1, scene.wanted.roles["builder"], scene.clock.now())
    observed = rules.Observed(scene.wanted.revision, scene.machine.me(), [slot.to_json()])
    ObservedFile(scene.root).write_value(observed.to_json("0.1.0"))

    assert not scene.is_settled(builder=1)
