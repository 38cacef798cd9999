"""How a process is ended, with pidfds and without: by TERM, by KILL, not at all; and that what is told is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.clock import SystemClock
from latchboard.host import system as system_module
from latchboard.host.process import DYING_WAIT_S, end_process
from latchboard.host.system import SystemHost
from latchboard.testing import FakeHost, ManualClock

if TYPE_CHECKING:
    from latchboard.host.port import Identity

pytestmark = pytest.mark.process
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STAYS = "print('ready', flush=True); input()"
PATIENCE_S = 60.0


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Identity]]]:
    running: list[subprocess.Popen[bytes]] = []

    def started(before: str = "", **options: Any) -> tuple[subprocess.Popen[bytes], Identity]:
        process = subprocess.Popen(
            [sys.executable, "-c", before + STAYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = SystemHost().look(process.pid)
        assert found is not None
        return process, found["identity"]

    yield started
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(params=["pidfd", "no pidfd"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SystemHost:
    if request.param == "no pidfd":

        def none(pid: int) -> int:
            raise OSError("there is no pidfd here")

        monkeypatch.setattr(system_module, "_open_pidfd", none)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("not applicable: no pidfd")
    return SystemHost()


def test_term_is_enough_for_most(host: SystemHost, start: Any) -> None:
    process, identity = start()

    ending = end_process(host, SystemClock(), identity, term_wait_s=PATIENCE_S)

    assert (ending.is_gone, ending.by, ending.why) == (True, "TERM", "")
    assert not os.path.exists(f"/proc/{process.pid}"), "reaped"


def test_whoever_waits_for_its_status_gets_it(host: SystemHost, start: Any) -> None:
    process, identity = start()

    ending = end_process(host, SystemClock(), identity, term_wait_s=PATIENCE_S, reaps=False)

    assert (ending.is_gone, ending.by) == (True, "TERM")
    assert process.wait(PATIENCE_S) == -signal.SIGTERM


def test_who_ignores_term_is_killed_and_that_is_told(host: SystemHost, start: Any) -> None:
    _, identity = start(IGNORES)

    ending = end_process(host, SystemClock(), identity, term_wait_s=0.2, kill_wait_s=PATIENCE_S)

    assert (ending.is_gone, ending.by, ending.why) == (True, "KILL", "")
    assert host.verdict(identity) == "dead"


def test_stopped_process_is_killed(host: SystemHost, start: Any) -> None:
    process, identity = start()
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

    ending = end_process(host, SystemClock(), identity, term_wait_s=0.1, kill_wait_s=PATIENCE_S)

    assert (ending.is_gone, ending.by) == (True, "KILL")


def test_other_start_time_is_another_process(host: SystemHost, start: Any) -> None:
    process, identity = start()

    ending = end_process(host, SystemClock(), {**identity, "start": identity["start"] + 1})

    assert (ending.is_gone, ending.by, ending.why) == (True, None, "recycled")
    assert process.poll() is None


class Recycled(SystemHost):
    """A machine on which a pid goes to another process between the first look and the grip."""

    looks_count = 0

    def verdict(self, identity: object) -> Any:
        self.looks_count += 1
        return "live" if self.looks_count == 1 else super().verdict(identity)


def test_number_that_went_to_another_process_before_the_grip_gets_no_signal__failure_3_5(start: Any) -> None:
    process, identity = start()

    ending = end_process(Recycled(), SystemClock(), {**identity, "start": identity["start"] - 1})

    assert (ending.is_gone, ending.by, ending.why) == (True, None, "recycled")
    assert process.poll() is None


def test_whoever_asks_may_change_his_mind_before_each_signal(host: SystemHost, start: Any) -> None:
    process, identity = start(IGNORES)
    answers = iter(["", "other-program"])

    never = end_process(host, SystemClock(), identity, why_not=lambda: "other-project")
    ending = end_process(host, SystemClock(), identity, why_not=lambda: next(answers), term_wait_s=0.1)

    assert (never.is_gone, never.by, never.why) == (False, None, "other-project")
    assert (ending.is_gone, ending.by, ending.why) == (False, "TERM", "other-program")
    assert process.poll() is None


def test_other_users_process_is_not_permitted_and_that_is_a_reason(start: Any, require: Any) -> None:
    require(os.geteuid() == 0, "root, to become another user")
    process, identity = start()
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        ending = end_process(SystemHost(), SystemClock(), identity, term_wait_s=0.1)
        os.write(writer, repr((ending.is_gone, ending.by, ending.why)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader, "rb") as file:
        told = file.read()

    assert told in (b"(False, None, 'not-permitted')", b"(False, None, 'unknowable')")
    assert process.poll() is None


def test_waits_are_two_seconds_each_and_no_longer() -> None:
    machine, clock = FakeHost(), ManualClock()
    victim = machine.spawn()
    machine.dress(victim, on_term="survives")
    before = clock.now().mono_s

    ending = end_process(machine, clock, victim)

    assert (ending.is_gone, ending.by, ending.why) == (False, "KILL", "survived")
    assert clock.now().mono_s - before == pytest.approx(4.0, abs=0.1)
    assert [signal for _, signal in machine.signals] == ["TERM", "KILL"]


def test_identity_of_another_boot_machine_or_namespace_is_never_signalled() -> None:
    machine, clock = FakeHost(), ManualClock()
    expected = {
        "other_boot": (True, "dead"),
        "other_machine": (False, "unknowable"),
        "other_namespace": (False, "unknowable"),
    }

    for name, (is_gone, why) in expected.items():
        ending = end_process(machine, clock, getattr(machine, name)())
        assert (ending.is_gone, ending.by, ending.why) == (is_gone, None, why)

    assert machine.signals == []


def test_no_grip_is_a_reason() -> None:
    machine, clock = FakeHost(), ManualClock()
    victim = machine.spawn()
    machine.interfere(lambda name: machine.kill(victim) if name == "grip" else None)

    ending = end_process(machine, clock, victim)

    assert (ending.is_gone, ending.by, ending.why) == (True, None, "dead")


def test_never_oneself_never_the_first_process() -> None:
    machine, clock = FakeHost(), ManualClock()
    first = machine.spawn(pid=1)

    itself = end_process(machine, clock, machine.me())
    init = end_process(machine, clock, first)

    assert (itself.is_gone, itself.by, itself.why) == (False, None, "itself")
    assert (init.is_gone, init.by, init.why) == (False, None, "init")
    assert machine.signals == []


class Gripless(FakeHost):
    """A machine that has no descriptor left for a grip."""

    def grip(self, identity: Identity) -> None:
        self._machine.before_call("grip")


def test_without_a_grip_there_is_no_signal_and_what_is_told_is_what_is_seen_then() -> None:
    machine, clock = Gripless(), ManualClock()
    stays, goes = machine.spawn(), machine.spawn()

    left = end_process(machine, clock, stays)
    machine.interfere(lambda name: machine.kill(goes) if name == "grip" else None)
    gone = end_process(machine, clock, goes)

    assert (left.is_gone, left.by, left.why) == (False, None, "no-grip")
    assert (gone.is_gone, gone.by, gone.why) == (True, None, "dead")
    assert machine.signals == []


def test_who_ends_between_two_signals_was_ended_by_the_first() -> None:
    machine, clock = FakeHost(), ManualClock()
    victim = machine.spawn()
    machine.dress(victim, on_term="ignores")
    asked: list[str] = []

    def why_not() -> str:
        asked.append("")
        if len(asked) == 2:
            machine.kill(victim)
            return "dead"
        return ""

    ending = end_process(machine, clock, victim, why_not=why_not)

    assert (ending.is_gone, ending.by, ending.why) == (True, "TERM", "")
    assert [signal for _, signal in machine.signals] == ["TERM"]


@pytest.mark.parametrize("at", [1, 2])
def test_one_that_cannot_be_read_any_more_gets_no_signal_and_is_waited_for(at: int) -> None:
    """Somebody else has killed it: its memory goes first, and a busy machine takes its time with the rest."""
    machine = FakeHost()
    victim = machine.spawn()
    machine.dress(victim, on_term="ignores")
    said: list[str] = []

    class Busy(ManualClock):
        def wait(self, readables: Iterable[Any], timeout_s: float | None) -> bool:
            if "unreadable" in said:
                machine.kill(victim)
            return super().wait(readables, timeout_s)

    def why_not() -> str:
        said.append("unreadable" if len(said) + 1 == at else "")
        return said[-1]

    ending = end_process(machine, Busy(), victim, why_not=why_not)

    assert (ending.is_gone, ending.by, ending.why) == ((True, None, "dead") if at == 1 else (True, "TERM", ""))
    assert [signal for _, signal in machine.signals] == ["TERM"] * (at - 1)


@pytest.mark.parametrize(("why", "waited_s"), [("unreadable", DYING_WAIT_S), ("other-program", 0.0)])
def test_one_that_stays_is_left_and_only_what_cannot_be_read_is_waited_for(why: str, waited_s: float) -> None:
    machine, clock = FakeHost(), ManualClock()
    victim = machine.spawn()
    before_s = clock.now().mono_s

    ending = end_process(machine, clock, victim, why_not=lambda: why)

    assert (ending.is_gone, ending.by, ending.why) == (False, None, why)
    assert clock.now().mono_s - before_s == pytest.approx(waited_s, abs=0.1)
    assert (machine.signals, machine.verdict(victim)) == ([], "live")


class Taken(SystemHost):
    """A machine on which a pid goes to another process as soon as its own has ended."""

    def verdict(self, identity: object) -> Any:
        found = super().verdict(identity)
        return "recycled" if found == "dead" else found


def test_whoever_has_the_number_then_is_not_reaped(start: Any) -> None:
    process, identity = start()

    ending = end_process(Taken(), SystemClock(), identity, term_wait_s=PATIENCE_S)

    assert (ending.is_gone, ending.by) == (True, "TERM")
    assert process.wait(PATIENCE_S) == -signal.SIGTERM, "its status is still there for its parent"
