"""Supervised workers as real processes: truly per role, started again, taken over, and ended; nobody else is (K33)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from latchboard.clock import parse_iso
from latchboard.errors import UsageError
from latchboard.host.launching import LOG_BYTES_MAX
from latchboard.host.system import SystemHost
from tests.process.nursery import Nursery, until
from tests.process.serving import is_there, wait_until_gone
from tests.process.supervising import Crew, starting
from tests.process.working import HOLDS, TREE, shell

pytestmark = pytest.mark.process
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (TREE / "protocol" / "schema").glob("*.json")}
REGISTRY: Any = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
)
FIVE = ["planner", "builder", "tester", "refiner", "integrator"]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with closing(Crew(tmp_path)) as made:
        yield made


def answer(crew: Crew, verb: str, *words: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = crew.ask("agents", verb, *words, status=status)
    name = "error" if "code" in found else f"agents-{verb}"
    jsonschema.Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(found)
    return found


def test_from_a_start_to_a_stop(crew: Crew) -> None:
    crew.role("builder", workers=2)
    crew.role("tester")
    before = answer(crew, "status", status=3)
    assert ([one["role"] for one in before["roles"]], before["workers"]) == (FIVE, [])

    started = answer(crew, "start")
    standing = answer(crew, "status")

    assert [(one["role"], one["wanted"], one["registered"]) for one in started["roles"]] == [
        ("builder", 2, 2),
        ("tester", 1, 1),
    ]
    assert [one["role"] for one in standing["roles"]] == FIVE
    assert [one["name"] for one in standing["workers"]] == ["worker.builder.1", "worker.builder.2", "worker.tester.1"]
    assert {one["state"] for one in standing["workers"]} == {"idle"}
    assert answer(crew, "status", "planner", status=3)["roles"][0]["wanted"] == 0
    for name in ("wanted", "state"):
        record = json.loads((crew.registry / f"agents.{name}").read_text())
        jsonschema.Draft202012Validator(SCHEMAS[f"agents_{name}"], registry=REGISTRY).validate(record)

    stopped = answer(crew, "stop")

    assert (stopped["supervisor"], stopped["workers"], crew.ours()) == (None, [], [])
    assert answer(crew, "status", status=3)["workers"] == []
    assert answer(crew, "stop")["workers"] == []
    assert not (crew.registry / "agents.state").exists()


def test_what_is_done_to_a_role_is_done_to_that_role_alone(crew: Crew) -> None:
    for role in FIVE:
        crew.role(role)

    only = crew.pids(crew.agents.start(["builder"]))
    assert list(only) == ["worker.builder.1"] and list(crew.pids()) == ["worker.builder.1"]

    crew.agents.start()
    before = crew.pids()
    crew.agents.start(["tester"], is_restart=True)
    restarted = crew.pids()
    crew.agents.stop(["tester"])

    assert sorted(before) == sorted(f"worker.{role}.1" for role in FIVE)
    assert {name for name in before if before[name] != restarted[name]} == {"worker.tester.1"}
    assert crew.pids() == {name: pid for name, pid in restarted.items() if name != "worker.tester.1"}


def test_a_start_of_what_runs_changes_nothing_and_a_count_adds_and_takes_away(crew: Crew) -> None:
    crew.role("builder")

    one = crew.pids(crew.agents.start(["builder"]))
    again = crew.pids(crew.agents.start(["builder"]))
    three = crew.pids(crew.agents.start(["builder"], count=3))
    two = crew.pids(crew.agents.start(["builder"], count=2))

    assert one == again == {"worker.builder.1": three["worker.builder.1"]}
    assert len(three) == 3 and two == {name: three[name] for name in ("worker.builder.1", "worker.builder.2")}


def test_what_ended_well_is_not_wanted_any_more(crew: Crew) -> None:
    crew.role("builder")
    crew.role("tester")
    crew.agents.start()
    os.kill(pid := crew.supervisor(), signal.SIGTERM)
    wait_until_gone(pid)
    assert crew.ours() == []

    crew.agents.start(["builder"])

    assert list(crew.pids()) == ["worker.builder.1"]


def test_a_worker_that_dies_is_started_again_and_counted(crew: Crew) -> None:
    crew.role("builder")
    pid = crew.pids(crew.agents.start())["worker.builder.1"]

    for deaths in (1, 2, 3):
        os.kill(pid, signal.SIGKILL)
        slot = crew.wait_for_worker("builder", 1, deaths=deaths, state="running")
        assert slot["last"]["signal"] == signal.SIGKILL and slot["process"]["pid"] != pid
        pid = slot["process"]["pid"]

    crew.wait_until_registered("worker.builder.1", pid)
    row = crew.agents.look().workers[0]
    assert (row["state"], row["deaths"], row["pid"]) == ("idle", 3, pid)
    said = crew.say("agents", "status", "builder")
    assert said.returncode == 0 and "signal 9" in said.stdout
    times = [line.partition(" ")[0] for line in (crew.registry / "agents.log").read_text().splitlines()]
    assert all(time.endswith("Z") and parse_iso(time) for time in times), "the supervisor's and its workers'"


def test_a_worker_that_cannot_start_its_command_is_tried_later_each_time(crew: Crew) -> None:
    crew.role("builder", ["./gone"])

    told = answer(crew, "start", status=1)

    assert told["roles"][0]["registered"] == 0
    assert told["workers"][0]["last"]["status"] in (126, 127)
    slot = until(lambda: (one := crew.observed().get(("builder", 1))) and one["in_a_row"] >= 3 and one, "three deaths")
    assert slot["deaths"] == slot["in_a_row"]
    (crew.root / "gone").write_text("#!/bin/sh\n")
    (crew.root / "gone").chmod(0o755)
    until(lambda: crew.agents.look(["builder"]).is_as_wanted, "it heals by itself")


def test_a_worker_that_is_configured_wrongly_is_not_started_again_until_somebody_asks(crew: Crew) -> None:
    crew.role("builder")
    pid = crew.pids(crew.agents.start())["worker.builder.1"]
    config = crew.root / "latchboard.toml"
    right = config.read_text()
    config.write_text(right.replace("command", "comand"))

    os.kill(pid, signal.SIGKILL)
    slot = crew.wait_for_worker("builder", 1, state="refused")

    assert (slot["last"]["status"], slot["process"]) == (2, None)
    with pytest.raises(UsageError):
        crew.agents.start()
    config.write_text(right)
    assert crew.agents.look().workers[0]["state"] == "refused"
    assert crew.agents.start().workers[0]["state"] == "idle"


@pytest.mark.parametrize("count", [-1, 65])
def test_a_number_that_cannot_be_wanted_is_refused_and_what_was_wanted_stays(crew: Crew, count: int) -> None:
    """It would be written, and the record then say nothing: also about all the other roles."""
    crew.role("builder")

    with pytest.raises(UsageError, match="0 to 64"):
        crew.agents.start(["builder"], count=count)

    assert not (crew.registry / "agents.wanted").exists()


def test_without_a_command_nothing_is_started(crew: Crew) -> None:
    assert answer(crew, "start", status=2)["code"] == "usage"
    crew.role("builder")

    refused = answer(crew, "start", "builder", "tester", status=2)

    assert "no command for the role tester" in refused["message"]
    assert not (crew.registry / "agents.wanted").exists() and crew.ours() == []


def test_a_supervisor_that_is_killed_leaves_its_workers_to_the_next(crew: Crew) -> None:
    crew.role("builder", workers=2)
    crew.role("tester")
    before = crew.pids(crew.agents.start())
    os.kill(first := crew.supervisor(), signal.SIGKILL)
    wait_until_gone(first)
    assert crew.agents.look().supervisor is None and crew.pids() == before

    after = crew.agents.start(["tester"])

    assert after.supervisor not in (None, first)
    assert crew.pids() == before, "taken over, and none was started beside them"
    os.kill(before["worker.builder.1"], signal.SIGKILL)
    slot = crew.wait_for_worker("builder", 1, deaths=1, state="running")
    assert slot["last"] == {"status": None, "signal": None, "at": slot["last"]["at"]}
    crew.agents.stop()
    assert crew.ours() == []


def test_without_a_supervisor_a_stop_ends_what_one_left_and_that_alone(crew: Crew) -> None:
    crew.role("builder")
    crew.role("tester")
    before = crew.pids(crew.agents.start())
    os.kill(first := crew.supervisor(), signal.SIGKILL)
    wait_until_gone(first)

    crew.agents.stop(["builder"])

    assert not is_there(before["worker.builder.1"]) and is_there(before["worker.tester.1"])
    assert crew.agents.look().supervisor is not None, "what is still wanted has a supervisor again"
    crew.agents.stop()
    assert crew.ours() == []


def test_a_stop_where_all_were_killed_starts_nobody(crew: Crew) -> None:
    """As after a restart of the machine: what was wanted then is not wanted any more."""
    crew.role("builder")
    crew.role("tester")
    crew.agents.start()
    for pid in crew.ours():
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)

    stopped = crew.agents.stop(["tester"])

    assert (stopped.supervisor, crew.ours()) == (None, [])
    assert list(crew.pids(crew.agents.start(["tester"]))) == ["worker.tester.1"]


def test_a_supervisor_that_hangs_is_ended_and_its_workers_with_it(crew: Crew) -> None:
    crew.role("builder")
    crew.agents.start()
    os.kill(crew.supervisor(), signal.SIGSTOP)

    crew.agents.stop()

    assert crew.ours() == []


def test_nobody_is_signalled_whom_a_record_names_and_who_is_another(crew: Crew) -> None:
    """Recycled pids, strangers, a worker by hand, the worker of another project: each is named, and each goes on."""
    crew.role("builder")
    crew.role("tester")
    crew.agents.start()
    for pid in crew.ours():
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
    stranger = subprocess.Popen(["sleep", "600"])
    by_hand = crew.worker(role="builder")
    try:
        crew.wait_until_registered("worker.builder.1", by_hand.pid)
        found = SystemHost().look(stranger.pid)
        assert found is not None
        state = json.loads((crew.registry / "agents.state").read_text())
        state["process"] = found["identity"]
        state["workers"][0]["process"] = {**found["identity"], "start": 1}
        state["workers"][1]["process"] = found["identity"]
        (crew.registry / "agents.state").write_text(json.dumps(state))
        entry = json.loads((crew.registry / "supervisor.json").read_text())
        (crew.registry / "supervisor.json").write_text(json.dumps({**entry, "process": found["identity"]}))
        (crew.registry / "supervisor.pid").write_text(f"{stranger.pid}\n")

        said = crew.say("agents", "stop")
        restarted = crew.say("agents", "restart", "tester")
        stopped = crew.say("agents", "stop")

        assert (said.returncode, restarted.returncode, stopped.returncode) == (0, 0, 0), (said, restarted, stopped)
        assert f"left alone: process {by_hand.pid}" in said.stdout
        assert stranger.poll() is None and by_hand.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("wrong", ["[roles.builder\n", "roles = 3\n"])
def test_who_ends_workers_needs_no_configuration(crew: Crew, wrong: str) -> None:
    """What runs is in the records; a mistake in the file must not keep a person from ending it."""
    crew.role("builder")
    crew.agents.start()
    (crew.root / "latchboard.toml").write_text(wrong)

    said = crew.say("agents", "stop")

    assert (said.returncode, crew.ours()) == (0, []), said
    assert ("default settings count" in said.stderr) == ("[" in wrong), "where settings cannot be read, that is told"
    assert crew.say("agents", "start").returncode == 2


def test_any_number_of_starts_make_one_supervisor_and_one_worker_each(crew: Crew, nursery: Nursery) -> None:
    crew.role("builder", workers=2)
    asking = [nursery.start(starting, root=crew.board.root, roles=["builder"]) for _ in range(8)]
    for one in asking:
        one.receive()
    for one in asking:
        one.channel.send(go=True)

    told = [one.receive(60) for one in asking]

    assert len({one["supervisor"] for one in told}) == 1
    assert len({tuple(one["workers"]) for one in told}) == 1 and len(told[0]["workers"]) == 2
    assert len(crew.ours()) == 3


def test_the_job_is_shown_and_a_stop_drains_it(crew: Crew) -> None:
    crew.role("builder", shell(HOLDS))
    crew.add("a")
    crew.agents.start()
    row = until(lambda: next((w for w in crew.agents.look().workers if w["state"] == "working"), None), "it works")
    assert row["job"] == "a"

    crew.agents.stop(["builder"])

    assert crew.board.queue.show("a")["job"]["status"] == "ready"
    assert crew.ours() == []


def test_a_second_supervisor_is_refused_and_one_in_the_foreground_ends_by_signal(crew: Crew) -> None:
    crew.role("builder")
    crew.agents.start()
    refused = crew.say("supervise")
    assert refused.returncode == 10 and "supervisor" in refused.stderr
    crew.agents.stop()

    crew.role("tester")
    words = [sys.executable, "-m", "latchboard", "supervise", "--root", str(crew.root)]
    supervisor = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: len(crew.ours()) == 3 and crew.agents.look().is_as_wanted, "it keeps what is configured")
        supervisor.terminate()
        said, _ = supervisor.communicate(timeout=60)
    finally:
        supervisor.kill()
        supervisor.wait()

    assert (supervisor.returncode, said) == (0, "the supervisor ended: asked\n")
    assert crew.ours() == []


def test_workers_end_with_their_project(crew: Crew) -> None:
    crew.role("builder")
    pids = [*crew.pids(crew.agents.start()).values(), crew.supervisor()]

    crew.root.rename(crew.root.parent / "gone")

    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.parametrize("wrong", [b"", b"{", b"[]", b"\xff\xfe", b"{}" * 100_000, None])
def test_what_cannot_be_read_changes_nothing(crew: Crew, wrong: bytes | None) -> None:
    crew.role("builder")
    before = crew.pids(crew.agents.start())
    wanted = crew.registry / "agents.wanted"
    wanted.unlink()
    if wrong is None:
        wanted.mkdir()
        (crew.registry / "agents.state").unlink()
    else:
        wanted.write_bytes(wrong)
        (crew.registry / "agents.state").write_bytes(wrong)

    from latchboard.supervision.record import ring

    ring(crew.board.root)
    os.kill(before["worker.builder.1"], signal.SIGKILL)
    until(lambda: crew.pids().get("worker.builder.1") not in (None, before["worker.builder.1"]), "started again")
    if wrong is None:
        wanted.rmdir()
    crew.agents.stop()

    assert crew.ours() == []


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < 3 else pytest.mark.soak) for s in range(20)])
def test_a_supervisor_killed_at_any_time_leaves_nothing_that_a_stop_does_not_find(crew: Crew, seed: int) -> None:
    """Killed while it starts, restarts and ends workers: never two of one number, and none is left in the end."""
    dice = random.Random(seed)
    crew.role("builder", workers=3)
    crew.agents.start()
    for _ in range(6):
        verb = dice.choice(["restart builder", "start --count 1", "start --count 3", "stop", "start"]).split()
        words = [sys.executable, "-m", "latchboard", "agents", *verb, "--root", str(crew.root)]
        asking = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.2, 0.6))  # the instant of the kill is what is tried
        pid = crew.agents.look().supervisor
        if pid is not None and pid in crew.ours():
            os.kill(pid, signal.SIGKILL)
        assert asking.wait(60) in (0, 1, 13)

    report = crew.agents.start(["builder"], count=2)

    assert {one["name"]: one["state"] for one in report.workers} == {
        "worker.builder.1": "idle",
        "worker.builder.2": "idle",
    }
    assert len(crew.ours()) == 3
    crew.agents.stop()
    assert crew.ours() == []


def test_an_operator_puts_another_supervisor_in_its_place(crew: Crew) -> None:
    crew.role("builder")
    before = crew.pids(crew.agents.start())
    first = crew.supervisor()

    assert crew.say("singleton", "release", "supervisor", "--force").returncode == 0
    wait_until_gone(first)

    assert crew.pids() == before
    assert crew.agents.start().supervisor not in (None, first) and crew.pids() == before


def test_a_large_log_is_put_aside_while_everybody_goes_on_writing(crew: Crew) -> None:
    crew.role("builder")
    pid = crew.pids(crew.agents.start())["worker.builder.1"]
    log = crew.registry / "agents.log"
    with log.open("ab") as file:
        file.write(b"x" * (LOG_BYTES_MAX + 1))

    os.kill(pid, signal.SIGKILL)
    crew.wait_for_worker("builder", 1, deaths=1, state="running")

    until(lambda: 0 < log.stat().st_size < 65536, "it begins anew")
    assert "agents.died" in log.read_text() + (crew.registry / "agents.log.1").read_text()[-65536:]
    assert (crew.registry / "agents.log.1").stat().st_size == LOG_BYTES_MAX


def test_a_state_that_cannot_be_written_ends_nobody_and_a_stop_does_without(crew: Crew) -> None:
    crew.role("builder")
    pid = crew.pids(crew.agents.start())["worker.builder.1"]
    (crew.registry / "agents.state").unlink()
    (crew.registry / "agents.state").mkdir()

    os.kill(pid, signal.SIGKILL)
    until(lambda: len(crew.ours()) == 2 and pid not in crew.ours(), "it is started again")
    assert "agents.troubled" in (crew.registry / "agents.log").read_text()
    (crew.registry / "agents.state").rmdir()
    crew.agents.stop()

    assert crew.ours() == []
