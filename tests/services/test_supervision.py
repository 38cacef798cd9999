"""The supervisor's turns on a fake machine: what it starts, whom it signals, and what becomes of its slots."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from latchboard.daemon_process import Daemons
from latchboard.errors import DaemonFailed, StoreFull
from latchboard.host.daemon_entry import DaemonEntry
from latchboard.host.fake import FakeHost
from latchboard.rules import supervision as rules
from latchboard.settings import Settings
from latchboard.supervision.keeping import Keeper
from latchboard.supervision.record import Bell, ObservedFile, WantedFile
from latchboard.testing import ManualClock

PYTHON = "/usr/bin/python3.11"
STOP_S = 20.0


class Child:
    """A worker on the fake machine, as its supervisor holds it."""

    def __init__(self, machine: FakeHost, identity: Any) -> None:
        self.identity = identity
        self.exit_status: int | None = None
        self._machine = machine

    def status(self, wait_s: float) -> int | None:
        if self.exit_status is None and self._machine.verdict(self.identity) != "live":
            self.exit_status = -15 if (self.identity, "TERM") in self._machine.signals else -9
        return self.exit_status


class Place:
    is_mine = True

    def is_held(self) -> bool:
        return self.is_mine


class Scene:
    """A project on a fake machine, with the supervisor in the hands of the test."""

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)
        (folder / "data" / ".agent_pids").mkdir(parents=True, exist_ok=True)
        self.machine, self.clock, self.place = FakeHost(), ManualClock(), Place()
        me: dict[str, Any] = {"argv": [PYTHON], "exe": PYTHON}
        self.machine.dress(self.machine.me(), **me)
        self.children: list[tuple[str, int, Child]] = []
        self.refusal = ""
        self.full = False
        self.wanted = rules.Wanted()
        self.keeper = self.make()

    def make(self) -> Keeper:
        self.bell = Bell(self.root)
        return Keeper(
            self.root,
            clock=self.clock,
            machine=self.machine,
            workers=Daemons(
                self.root, self.clock, self.machine, Settings(), DaemonEntry(self.root, "supervisor"), verb=rules.WORKER
            ),
            wanted_file=WantedFile(self.root),
            observed_file=ObservedFile(self.root),
            bell=self.bell,
            place=self.place,
            pace=rules.Pace(1.0, 60.0, 60.0),
            launch=self.launch,  # type: ignore[arg-type]
            stop_s=lambda role: STOP_S,
            tidy=self.tidy,
            aside=lambda do: do(),
            version="0.1.0",
        )

    def tidy(self) -> None:
        if self.full:
            raise StoreFull("no space", hint="free some")

    def launch(self, role: str, number: int, on_end: Callable[[], object]) -> Child:
        if self.refusal:
            raise DaemonFailed(self.refusal, hint="", log=None)
        child = Child(self.machine, self.worker(role, number))
        self.children.append((role, number, child))
        return child

    def worker(self, role: str, number: int, **facts: Any) -> Any:
        """A process with the command line of a supervised worker."""
        identity = self.machine.spawn()
        argv = [PYTHON, "-m", "latchboard", "worker", "--root", self.root, "--role", role, "--number", str(number)]
        self.machine.dress(identity, **{"argv": argv, "exe": PYTHON, **facts})
        return identity

    def want(self, **counts: int) -> None:
        self.wanted = rules.asked_for(self.wanted, counts, is_alone=False, is_restart=False)
        WantedFile(self.root).write(self.wanted)

    def restart(self, role: str) -> None:
        counts = {role: self.wanted.count(role)}
        self.wanted = rules.asked_for(self.wanted, counts, is_alone=False, is_restart=True)
        WantedFile(self.root).write(self.wanted)

    def turn(self, **asked: bool) -> str:
        return self.keeper.turn(is_asked_to_end=asked.get("end", False))

    def live(self) -> list[tuple[str, int]]:
        """Role and number of each worker that the supervisor started and that is there."""
        return sorted((role, n) for role, n, child in self.children if self.machine.verdict(child.identity) == "live")

    def slots(self) -> dict[tuple[str, int], dict[str, Any]]:
        observed = ObservedFile(self.root).read()
        return {} if observed is None else {(one["role"], one["number"]): one for one in observed.workers}

    def close(self) -> None:
        self.keeper.close()
        self.bell.close()


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Scene(tmp_path)
    yield made
    made.close()


def test_what_is_wanted_is_started_once(scene: Scene) -> None:
    scene.want(builder=2, tester=1)

    assert [scene.turn(), scene.turn()] == ["", ""]

    assert scene.live() == [("builder", 1), ("builder", 2), ("tester", 1)]
    assert {one["state"] for one in scene.slots().values()} == {"running"}


def test_with_nothing_wanted_the_first_turn_is_the_last(scene: Scene) -> None:
    assert scene.turn() == "done"


def test_a_worker_that_survives_is_told_and_tried_again_later(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.machine.dress(scene.children[0][2].identity, argv=None, on_term="survives")
    scene.want(builder=0)

    scene.turn()
    scene.turn()
    before = len(scene.machine.signals)
    scene.turn()

    assert scene.slots()["builder", 1]["why"] == "survived"
    assert len(scene.machine.signals) == before == 2
    scene.clock.advance(31)
    scene.turn()
    assert len(scene.machine.signals) == 4


@pytest.mark.parametrize("is_restart", [True, False])
def test_a_worker_that_was_started_before_its_pause_was_over_is_told_to_end_at_once(
    scene: Scene, is_restart: bool
) -> None:
    """The pause was for its start: a stop that waited for it would take a minute."""
    scene.want(builder=1)
    scene.turn()
    scene.machine.kill(scene.children[0][2].identity)
    scene.turn()
    scene.want(builder=1)  # asked for anew: it does not wait
    scene.turn()
    assert scene.live() == [("builder", 1)]

    if is_restart:
        scene.restart("builder")
    else:
        scene.want(builder=0)
    scene.turn()

    assert scene.live() == []


def test_a_system_that_starts_nothing_is_told_and_asked_later(scene: Scene) -> None:
    scene.refusal = "no process left"
    scene.want(builder=1)

    scene.turn()
    scene.turn()

    slot = scene.slots()["builder", 1]
    assert (slot["state"], slot["why"], slot["deaths"]) == ("waiting", "no process left", 1)
    scene.refusal = ""
    scene.clock.advance(1.0)
    scene.turn()
    assert scene.live() == [("builder", 1)] and scene.slots()["builder", 1]["why"] == ""


def test_a_start_that_fails_is_not_tried_at_every_turn_because_somebody_asked(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.machine.kill(scene.children[0][2].identity)
    scene.turn()
    scene.refusal = "no process left"
    scene.want(builder=1)

    for _ in range(5):
        scene.turn()

    assert scene.slots()["builder", 1]["deaths"] == 2


def test_a_record_that_says_nothing_changes_nothing(scene: Scene) -> None:
    scene.want(builder=1, tester=1)
    scene.turn()
    (Path(scene.root) / "data" / ".agent_pids" / "agents.wanted").write_text("{")
    scene.machine.kill(scene.children[0][2].identity)
    scene.turn()
    scene.clock.advance(1.0)

    scene.turn()

    assert scene.live() == [("builder", 1), ("tester", 1)]


def test_a_worker_that_was_gone_before_anybody_looked_is_waited_for_and_not_signalled(scene: Scene) -> None:
    """Its number may be another's by then; what it ended with comes from the system."""

    class Unknown(Child):
        def status(self, wait_s: float) -> int | None:
            return self.exit_status

    child = Unknown(scene.machine, None)
    scene.launch = lambda *_: child  # type: ignore[method-assign]
    scene.close()
    scene.keeper = scene.make()
    scene.want(builder=1)
    scene.turn()
    scene.want(builder=0)

    turns = [scene.turn(), scene.turn()]
    child.exit_status = 3
    turns.append(scene.turn())

    assert (turns, scene.machine.signals) == (["", "", "done"], [])


def test_with_its_project_a_supervisor_ends_and_its_workers(scene: Scene) -> None:
    """Its place is gone as well: nobody took it, who would keep them."""
    scene.want(builder=2)
    scene.turn()
    Path(scene.root).rename(f"{scene.root}.gone")
    scene.place.is_mine = False

    turns = [scene.turn() for _ in range(2)]

    assert (turns, scene.live()) == (["", "homeless"], [])
    Path(f"{scene.root}.gone").rename(scene.root)


def test_a_full_disk_ends_nothing_and_is_told_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.full = True
    scene.machine.kill(scene.children[0][2].identity)

    for _ in range(5):
        scene.turn()
        scene.clock.advance(1.0)

    assert scene.live() == [("builder", 1)]
    assert [one.levelname for one in caplog.records if "troubled" in one.message] == ["WARNING"]
    scene.full = False
    scene.turn()
    assert scene.slots()["builder", 1]["deaths"] == 1
    assert caplog.records[-1].message.startswith("agents.well")


def test_who_is_displaced_leaves_his_workers_to_the_next(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    scene.place.is_mine = False

    assert scene.turn() == "displaced"

    assert scene.live() == [("builder", 1)] and scene.machine.signals == []


def test_a_number_that_another_worker_has_is_taken_over(scene: Scene) -> None:
    """Its own start was refused with status 10: what has the number is a supervised worker, or will end."""
    scene.want(builder=1)
    scene.turn()
    scene.children[0][2].exit_status = 10
    scene.machine.kill(scene.children[0][2].identity)
    other = scene.worker("builder", 1)
    scene.turn()
    scene.clock.advance(1.0)

    scene.turn()

    assert scene.slots()["builder", 1]["process"] == other
    assert len(scene.children) == 1


def test_a_restart_that_one_supervisor_was_asked_for_is_done_by_the_next(scene: Scene) -> None:
    scene.want(builder=1)
    scene.turn()
    old = scene.children[0][2].identity
    scene.restart("builder")
    scene.close()
    scene.keeper = scene.make()

    scene.keeper.take_over()
    scene.turn()
    scene.turn()

    assert scene.machine.verdict(old) == "dead" and scene.live() == [("builder", 1)]
    assert scene.slots()["builder", 1]["round"] == 1


def test_a_child_that_a_worker_forked_is_nobody(scene: Scene) -> None:
    forked = scene.worker("builder", 1)
    worker = scene.worker("builder", 1)
    scene.machine.dress(forked, parent=worker["pid"])
    scene.worker("builder", 2, argv=[PYTHON, "-m", "latchboard", "worker", "--root", scene.root, "--role", "builder"])
    scene.worker("builder", 3, uid=7)

    scene.keeper.take_over()
    scene.turn()

    assert [identity["pid"] for identity, _ in scene.machine.signals] == [worker["pid"]]


def test_two_of_one_number_are_taken_over_as_one(scene: Scene) -> None:
    """The second one finds that the number is taken, and ends by itself."""
    scene.want(builder=1)
    workers = [scene.worker("builder", 1), scene.worker("builder", 1)]

    scene.keeper.take_over()
    scene.turn()

    assert scene.slots()["builder", 1]["process"] in workers
    assert (scene.children, scene.machine.signals) == ([], [])


@pytest.mark.parametrize("number", range(12))
def test_a_worker_that_becomes_another_program_while_it_is_judged_is_left(scene: Scene, number: int) -> None:
    """Whether it is ours is asked last before the signal, and of nothing else after that."""
    worker = scene.worker("builder", 1)
    scene.keeper.take_over()
    calls: list[str] = []

    def before(name: str) -> None:
        if len(calls) == number and name != "send":
            scene.machine.dress(worker, argv=["sleep", "300"])
            calls.append("changed")
        calls.append(name)

    scene.machine.interfere(before)
    scene.turn()

    sent = calls.index("send") if "send" in calls else len(calls)
    assert bool(scene.machine.signals) == ("changed" not in calls[:sent])


class Turns(RuleBasedStateMachine):
    """Whatever is asked and whoever dies: one worker per number, none but ours signalled, in the end what is wanted."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        self.scene = Scene(self.folder)
        for path in (self.folder / "data" / ".agent_pids").glob("agents.*"):
            if path.is_file():
                path.unlink()
        self.strangers = [self.scene.worker("builder", 1, uid=7), self.scene.machine.spawn()]

    @rule(role=st.sampled_from(["builder", "tester"]), count=st.integers(0, 3))
    def want(self, role: str, count: int) -> None:
        self.scene.want(**{role: count})

    @rule(role=st.sampled_from(["builder", "tester"]))
    def restart(self, role: str) -> None:
        self.scene.restart(role)

    @rule(s=st.sampled_from([0.0, 0.5, 1.0, 5.0, 70.0]))
    def pass_time(self, s: float) -> None:
        self.scene.clock.advance(s)

    @rule()
    def turn(self) -> None:
        self.scene.turn()

    @precondition(lambda self: self.scene.live())
    @rule(data=st.data(), status=st.sampled_from([0, 1, 2, 10, -9]))
    def die(self, data: st.DataObject, status: int) -> None:
        named = data.draw(st.sampled_from(self.scene.live()))
        for role, number, child in self.scene.children:
            if (role, number) == named and self.scene.machine.verdict(child.identity) == "live":
                child.exit_status = status
                self.scene.machine.kill(child.identity)

    @rule()
    def die_and_be_followed(self) -> None:
        """The supervisor is killed; the next one takes over what is there."""
        self.scene.close()
        self.scene.keeper = self.scene.make()
        self.scene.keeper.take_over()

    @invariant()
    def one_of_each_number(self) -> None:
        live = self.scene.live()
        assert len(live) == len(set(live))

    @invariant()
    def no_stranger_is_signalled(self) -> None:
        ours = [child.identity for _, _, child in self.scene.children]
        assert all(identity in ours for identity, _ in self.scene.machine.signals)
        assert all(self.scene.machine.verdict(one) == "live" for one in self.strangers)

    def teardown(self) -> None:
        if not hasattr(self, "scene"):
            return
        for _ in range(4):  # an end, a start after it, and a death that was not heard of yet
            self.scene.clock.advance(61.0)
            self.scene.turn()
        refused = [key for key, slot in self.scene.slots().items() if slot["state"] == "refused"]
        asked = [(role, n) for role, want in self.scene.wanted.roles.items() for n in range(1, want.count + 1)]
        assert self.scene.live() == sorted(set(asked) - set(refused))
        self.scene.close()


def test_turns(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Turns.folder = tmp_path
    run_state_machine_as_test(Turns, settings=profile(max_examples=60, stateful_step_count=25, deadline=None))  # type: ignore[no-untyped-call]


def test_the_records_parse_at_every_turn(scene: Scene) -> None:
    scene.want(builder=3)
    for number in range(3):
        scene.turn()
        json.loads((Path(scene.root) / "data" / ".agent_pids" / "agents.state").read_text())
        if number < 2:
            scene.machine.kill(scene.children[number][2].identity)
    assert len(scene.slots()) == 3
