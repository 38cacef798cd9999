"""One process of a type on all machines that the store spans: refused by name, free when its process is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import jsonschema
import pytest

from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.errors import AlreadyRunning, MalformedRecord, StoreUnavailable
from latchboard.host.registry import Registry
from latchboard.store.etcd.store import EtcdStore
from latchboard.store.wrap import FAIL_BEFORE, FaultyStore
from latchboard.testing import FakeHost
from latchboard.worker.seating import take_seat
from tests.store.etcd.server import Place
from tests.tidy.tree import ROOT

pytestmark = [pytest.mark.process]
TYPE = "code_developer"
SCHEMA = json.loads((ROOT / "protocol/schema/singleton_everywhere.json").read_text())
NAME = os.uname().nodename
CHILD = """
import sys, time
from latchboard import Latchboard
from latchboard.store.etcd import presence
presence._END_S_MAX = 60.0  # it is heard, however long that takes here
Latchboard(sys.argv[1]).singletons.enforce("code_developer")
print("in", flush=True)
time.sleep(60)
"""


class Machines:
    """Each has a folder of its own; all that they have in common is the store."""

    def __init__(self, etcd: Place, root: Path) -> None:
        self.access = etcd.access()
        self.root = root
        self.boards: list[Latchboard] = []

    def board(self, host: FakeHost | None = None) -> Latchboard:
        root = self.root / str(len(self.boards))
        root.mkdir()
        store = EtcdStore(self.access, clock=SystemClock())
        host = host or FakeHost(host="clone", boot=f"boot-{len(self.boards)}")
        self.boards.append(Latchboard(root, store=store, host=host, publishes=False))
        return self.boards[-1]


@pytest.fixture
def machines(etcd: Place, tmp_path: Path) -> Iterator[Machines]:
    made = Machines(etcd, tmp_path)
    yield made
    for board in made.boards:
        board.singletons.cleanup(TYPE)
        board.close()
        board.store.close()


def cut_off(board: Latchboard) -> None:
    """As if its lease had ended, and it has not learned of it."""
    cluster: Any = board.store._cluster  # type: ignore[attr-defined]
    cluster.gateway.call("/v3/lease/revoke", {"ID": cluster.presence._lease}, monotonic() + 10)


def forget_that_it_is_sure(board: Latchboard) -> None:
    board.store._cluster.presence._sure_until = 0.0  # type: ignore[attr-defined]


def traces(board: Latchboard) -> list[Any]:
    watch = board.store.watch("log/singleton", after=0)
    try:
        return [change.value for change in watch.poll()]
    finally:
        watch.close()


def test_a_second_one_is_refused_on_any_machine_and_gets_in_when_the_first_gives_back(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    with one.singletons.enforce(TYPE) as first:
        with pytest.raises(AlreadyRunning, match=f"process {first.pid} on {NAME}") as refusal:
            other.singletons.enforce(TYPE)
        assert refusal.value.fields["host_name"] == NAME
        assert refusal.value.pid == first.pid
        (seen,) = other.singletons.status([TYPE])
        assert (seen["state"], seen["pid"], seen["host_name"]) == ("running", first.pid, NAME)
        assert not seen["is_here"]  # nobody is told to end that number on this machine
        assert other.singletons.counts()[TYPE]["blocked"] == 1
        assert first.is_held()
        jsonschema.validate(one.store.read(f"singletons/{TYPE}").get(f"singletons/{TYPE}"), SCHEMA)

    with other.singletons.enforce(TYPE):
        assert not first.is_held()
        assert one.singletons.status([TYPE])[0]["state"] == "running"


def test_workers_of_one_number_on_several_machines_get_names_of_their_own(machines: Machines) -> None:
    """Else only the first machine that says `agents start` would have workers."""
    one, other = machines.board(), machines.board()
    with take_seat(one.singletons, "builder", 1) as first, take_seat(other.singletons, "builder", 1) as second:
        assert (first.agent_type, second.agent_type) == ("worker.builder.1", "worker.builder.2")
        with take_seat(one.singletons, "builder", 2) as third:
            assert third.agent_type == "worker.builder.3"


def test_a_worker_that_is_started_again_takes_the_name_of_the_one_that_was_killed(machines: Machines) -> None:
    """A claim that this one has left is the new one's to give up; the number alone is no reason to leave it lying."""
    one, other = machines.board(), machines.board()
    with take_seat(one.singletons, "builder", 1):
        left = Path(other.root) / "data" / ".agent_pids" / "worker.builder.3.pid"
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("4194000\n")

        with take_seat(other.singletons, "builder", 1) as again:
            assert again.agent_type == "worker.builder.3"


def test_a_worker_is_refused_a_number_that_runs_in_its_own_folder(machines: Machines) -> None:
    machine = FakeHost()
    one, beside = (machines.board(machine.as_process(machine.spawn())).singletons for _ in range(2))
    beside.registry = one.registry

    with take_seat(one, "builder", 1), pytest.raises(AlreadyRunning, match=r"builder\.1 is already running"):
        take_seat(beside, "builder", 1)


def test_a_number_of_this_folder_is_refused_though_it_is_free_a_moment_later(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever started a worker in each slot would have one under another slot's number, and that slot none."""
    machine = FakeHost()
    one, beside = (machines.board(machine.as_process(machine.spawn())).singletons for _ in range(2))
    beside.registry = one.registry
    first, status = take_seat(one, "builder", 1), beside.status

    def ended_meanwhile(agent_types: list[str]) -> list[dict[str, Any]]:
        first.release()
        return status(agent_types)

    monkeypatch.setattr(beside, "status", ended_meanwhile)
    with pytest.raises(AlreadyRunning, match=r"builder\.1 is already running"):
        take_seat(beside, "builder", 1)


def test_one_of_another_folder_of_this_machine_is_told_by_a_number_that_may_be_ended(machines: Machines) -> None:
    machine = FakeHost()
    one, beside = (machines.board(machine.as_process(machine.spawn())) for _ in range(2))

    with one.singletons.enforce(TYPE) as first:
        (seen,) = beside.singletons.status([TYPE])

        assert (seen["state"], seen["pid"], seen["is_here"]) == ("running", first.pid, True)


def test_who_was_cut_off_has_lost_it_and_removes_nobody_elses(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    first = one.singletons.enforce(TYPE)

    cut_off(one)

    assert other.singletons.status([TYPE])[0]["state"] == "free"
    second = other.singletons.enforce(TYPE)
    assert not first.is_held()
    first.release()
    assert second.is_held()
    over = [event for told in traces(one) for event in told["events"] if event["event"] == "stale_cleaned"]
    assert over == [
        {
            "event": "stale_cleaned",
            "stale_pid": first.pid,
            "why": f"process {first.pid} on {NAME} has ended, or was cut off from the store",
        }
    ]
    assert other.singletons.counts()[TYPE]["stale_cleaned"] == 1


def test_who_was_cut_off_and_asks_anew_gets_it_if_nobody_else_has_it(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    first = one.singletons.enforce(TYPE)
    cut_off(one)
    assert not first.is_held()
    forget_that_it_is_sure(one)
    assert not first.is_held()

    with one.singletons.enforce(TYPE) as again:
        assert again.is_held()
        with pytest.raises(AlreadyRunning):
            other.singletons.enforce(TYPE)
    assert one.singletons.counts()[TYPE]["stale_cleaned"] == 1


def test_who_does_not_know_that_it_was_cut_off_takes_nothing(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    one.singletons.enforce("architect").release()  # it is sure of its presence now
    cut_off(one)

    with pytest.raises(StoreUnavailable, match="cut off"):
        one.singletons.enforce(TYPE)

    assert one.store.read(f"singletons/{TYPE}").get(f"singletons/{TYPE}") is None
    forget_that_it_is_sure(one)
    with one.singletons.enforce(TYPE):
        assert other.singletons.status([TYPE])[0]["state"] == "running"


def test_whose_record_it_is_already_takes_it_once(machines: Machines) -> None:
    """Its first registration is not undone by the end of the second, and nothing is said to have been broken."""
    one, other = machines.board(), machines.board()
    first = one.singletons.enforce(TYPE)
    before = one.store.read(f"singletons/{TYPE}").get(f"singletons/{TYPE}")

    second = one.singletons.enforce(TYPE, force=True)

    assert second.broke is None
    assert one.store.read(f"singletons/{TYPE}").get(f"singletons/{TYPE}") == before
    second.release()
    assert first.is_held()
    with pytest.raises(AlreadyRunning):
        other.singletons.enforce(TYPE)
    first.release()


def test_a_second_registration_that_fails_leaves_the_first(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    service = machines.board().singletons
    first = service.enforce(TYPE)

    def full(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no room", hint="make some")

    with monkeypatch.context() as patch:
        patch.setattr(service.registry, "at_desk", full)
        with pytest.raises(StoreUnavailable, match="no room"):
            service.enforce(TYPE)

    assert first.is_held()
    first.release()


def test_what_cannot_be_given_back_ends_with_the_process_and_keeps_nobody(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = machines.board(), machines.board()
    service = one.singletons
    place, everywhere = service.enforce(TYPE), service._everywhere
    assert everywhere is not None
    everywhere._store = FaultyStore(one.store, faults=[FAIL_BEFORE])

    place.release()

    assert "stays while this process is there" in caplog.text
    with pytest.raises(AlreadyRunning):
        other.singletons.enforce(TYPE)
    everywhere.leave()
    with other.singletons.enforce(TYPE) as second:
        assert second.is_held()


def test_by_force_it_is_registered_beside_another_and_an_operator_ends_it(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    first = one.singletons.enforce(TYPE)

    second = other.singletons.enforce(TYPE, force=True)

    assert second.broke is not None
    assert (second.broke["pid"], second.broke["host_name"]) == (first.pid, NAME)
    assert not first.is_held()
    with pytest.raises(AlreadyRunning):
        one.singletons.release(TYPE)
    assert one.singletons.release(TYPE, force=True)["released"]
    assert not second.is_held()


def test_what_serves_a_machine_is_one_on_each(machines: Machines) -> None:
    one, other = machines.board(), machines.board()

    with one.singletons.enforce("daemon") as first, other.singletons.enforce("daemon") as second:
        assert first.is_held()
        assert second.is_held()


@pytest.mark.parametrize(
    "value",
    [{"format": 1, "agent_type": TYPE}, {"format": 1, "agent_type": TYPE, "process": {"pid": 7}, "host_name": "h"}],
)
def test_a_record_that_cannot_be_used_keeps_everybody_out_but_an_operators_force(
    machines: Machines, value: dict[str, Any]
) -> None:
    board = machines.board()
    board.store.transact(lambda view: view.put(f"singletons/{TYPE}", value), who="somebody")

    with pytest.raises(MalformedRecord):
        board.singletons.enforce(TYPE)
    assert board.singletons.status([TYPE])[0]["state"] == "running"
    with pytest.raises(AlreadyRunning):
        board.singletons.release(TYPE)

    with board.singletons.enforce(TYPE, force=True) as place:
        assert place.is_held()


def test_a_refusal_of_this_machine_leaves_no_record_of_all(machines: Machines) -> None:
    one, other = machines.board(), machines.board()
    registry = Registry(one.root, wait_s_max=1.0, look_at_mount=lambda path: None)
    with registry.at_desk(make=True) as desk:
        assert desk is not None
        seat = desk.sit(f"{TYPE}.lock", 0)  # as a process that came without the setting
    assert seat is not None

    with pytest.raises(AlreadyRunning):
        one.singletons.enforce(TYPE)

    with other.singletons.enforce(TYPE) as place:
        assert place.is_held()
    seat.leave()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_told_to_end_frees_it_at_once_and_one_that_was_killed_does_on_its_machine(
    machines: Machines, tmp_path: Path, number: signal.Signals
) -> None:
    root = tmp_path / "real"
    root.mkdir()
    other = machines.board()
    environ = {
        **os.environ,
        "LATCHBOARD_STORE": f"etcd://{machines.access.endpoints[0].partition('//')[2]}{machines.access.prefix}",
        "LATCHBOARD_ETCD_ANY_VERSION": "1",
    }
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(root)], env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "in\n"
        with pytest.raises(AlreadyRunning):
            other.singletons.enforce(TYPE)
    finally:
        child.send_signal(number)
        child.wait(60)
        child.stdout.close()  # type: ignore[union-attr]

    where = other if number is signal.SIGTERM else Latchboard(root, store=other.store, publishes=False)
    with where.singletons.enforce(TYPE) as place:
        assert place.is_held()
