"""Real processes: daemons that end, one that ignores TERM, and everybody who only looks like one and must survive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.daemon_process import Daemons
from latchboard.host.process import end_process
from latchboard.host.system import SystemHost
from latchboard.settings import Settings
from tests.process import space
from tests.process.nursery import PATIENCE_S, Channel, Nursery, process_state, until

pytestmark = pytest.mark.process

STAND_IN = """
import os, signal, sys
how = os.environ.get("ON_TERM", "ends")
if how == "ignores":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if how == "execs":
    signal.signal(signal.SIGTERM, lambda *_: os.execv("/bin/sh", ["vim", "-c", "echo another; read x", "latchboard"]))
if how == "forks" and os.fork() == 0:
    signal.pause()
if "AS_UID" in os.environ:
    os.setgroups([])
    os.setresuid(*3 * [int(os.environ["AS_UID"])])
print("ready", flush=True)
sys.stdin.read()
"""


class InAContainer(SystemHost):
    """This machine, for a process that runs in a container, wherever the tests run."""

    __slots__ = ()

    def surroundings(self, root: str) -> Any:
        return {**super().surroundings(root), "has_dockerenv": True}


class OnAHost(SystemHost):
    """This machine, for a process that a tool started on a bare host."""

    __slots__ = ()

    def surroundings(self, root: str) -> Any:
        found = super().surroundings(root)
        bare = {"has_dockerenv": False, "has_containerenv": False, "cgroups": [], "init_environment": {}}
        return {**found, **bare, "environment": {"CLAUDECODE": "1"}}


class Yard:
    """A project, and processes that stand for its daemon or look like it: packages and scripts of our name."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.other_root = folder / "other"
        self.path = folder / "path"
        for made in (self.root, self.other_root, self.path / "latchboard", self.path / "pytest"):
            made.mkdir(parents=True)
        for package in ("latchboard", "pytest"):
            (self.path / package / "__init__.py").touch()
            (self.path / package / "__main__.py").write_text(STAND_IN)
        (self.path / "latchboard.sh").write_text("echo ready; read x\n")
        (self.path / "script.py").write_text(STAND_IN)
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *argv: str, executable: str = sys.executable, **environment: str) -> int:
        """Start a process with exactly this command line; its pid, once it has said that it is ready."""
        process = subprocess.Popen(
            argv,
            executable=executable,
            cwd=self.path,
            env={"PATH": "/bin:/usr/bin", "PYTHONPATH": str(self.path), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process.pid

    def daemon(self, root: Path | None = None, **environment: str) -> int:
        words = ("-m", "latchboard", "serve", "--root", str(root or self.root))
        return self.start(sys.executable, *words, **environment)

    def record(self, pid: int, **changed: Any) -> None:
        folder = self.root / "data" / ".agent_pids"
        folder.mkdir(parents=True, exist_ok=True)
        process = {**SystemHost().me(), "pid": pid, "start": _start(pid), **changed}
        (folder / "daemon.pid").write_text(f"{pid}\n")
        (folder / "daemon.json").write_text(json.dumps({"format": 1, "agent_type": "daemon", "process": process}))

    def is_recorded(self) -> bool:
        return (self.root / "data" / ".agent_pids" / "daemon.pid").exists()

    def daemons(self, host: SystemHost | None = None) -> Daemons:
        settings = Settings(enforce_single_daemon_process=True)
        return Latchboard(self.root, settings=settings, host=host or InAContainer(), publishes=False).daemons

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def _start(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and process_state(pid) != "Z"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


# -- daemons that end


def test_other_daemons_end_and_the_recorded_one_stays(yard: Yard) -> None:
    healthy, second, third = yard.daemon(), yard.daemon(), yard.daemon()
    yard.record(healthy)

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert report.is_running
    assert sorted(one["pid"] for one in report.ended) == sorted([second, third])
    assert {(one["is_gone"], one["by"]) for one in report.ended} == {(True, "TERM")}
    assert is_there(healthy)
    assert not Path(f"/proc/{second}").exists(), "reaped, not left as a zombie"
    assert yard.is_recorded()


def test_what_the_recorded_daemon_has_forked_stays(yard: Yard) -> None:
    healthy = yard.daemon(ON_TERM="forks")
    yard.record(healthy)
    worker = int(Path(f"/proc/{healthy}/task/{healthy}/children").read_text())
    try:
        report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

        assert report.ended == []
        assert {"pid": worker, "why": "child"} in report.spared
        assert is_there(worker)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_process_that_ignores_term_is_killed_and_that_is_told(yard: Yard) -> None:
    stubborn = yard.daemon(ON_TERM="ignores")

    report = yard.daemons().enforce(term_wait_s=0.3)

    assert report.ended == [{"pid": stubborn, "is_gone": True, "by": "KILL", "why": ""}]
    assert not is_there(stubborn)


def test_zombie_whose_parent_never_looks_counts_as_ended(yard: Yard) -> None:
    program = (
        "import subprocess, sys; c = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE,"
        "text=True); c.stdout.readline(); print(c.pid, flush=True); print('ready', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-m", "latchboard", "serve", "--root", str(yard.root)]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=yard.path,
        env={"PYTHONPATH": str(yard.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yard.running.append(parent)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert report.ended == [{"pid": child, "is_gone": True, "by": "TERM", "why": ""}]
    assert process_state(child) == "Z"
    assert is_there(parent.pid)
    assert yard.daemons().enforce(term_wait_s=PATIENCE_S).ended == []


def test_process_of_its_own_pid_and_process_1_are_refused() -> None:
    host, clock = SystemHost(), SystemClock()

    itself = end_process(host, clock, host.me())
    init = end_process(host, clock, {**host.me(), "pid": 1, "start": _start(1)})

    assert (itself.is_gone, itself.by, itself.why) == (False, None, "itself")
    assert (init.is_gone, init.by, init.why) == (False, None, "init")


def test_no_such_process_is_a_reason(yard: Yard) -> None:
    pid = yard.daemon()
    identity = {**SystemHost().me(), "pid": pid, "start": _start(pid)}
    yard.close()

    ending = end_process(SystemHost(), SystemClock(), identity)  # type: ignore[arg-type]

    assert (ending.is_gone, ending.by, ending.why) == (True, None, "dead")


# -- those who only look like one


def _shell_called_python(yard: Yard) -> int:
    """`-m` is an option of the shell as well, and `latchboard` its script: word by word our command line."""
    folder = yard.path / "elsewhere"
    folder.mkdir()
    (folder / "latchboard").write_text("echo ready; read x\n")
    before, yard.path = yard.path, folder
    try:
        return yard.start(
            sys.executable,
            "-m",
            "latchboard",
            "serve",
            "--root",
            str(yard.root),
            executable=os.path.realpath("/bin/sh"),
        )
    finally:
        yard.path = before


LOOK_ALIKES: dict[str, Callable[[Yard], int]] = {
    "editor whose argument names us": lambda yard: yard.start(
        "vim", "-c", "echo ready; read x", "latchboard", "serve", "--root", str(yard.root), executable="/bin/sh"
    ),
    "editor that calls itself python": _shell_called_python,
    "grep": lambda yard: yard.start("grep", "-c", "echo ready; read x", "latchboard", executable="/bin/sh"),
    "pytest on our name": lambda yard: yard.start(
        sys.executable, "-m", "pytest", "latchboard", "serve", "--root", str(yard.root)
    ),
    "python with our words behind -c": lambda yard: yard.start(
        sys.executable, "-c", STAND_IN, "-m", "latchboard", "serve", "--root", str(yard.root)
    ),
    "script with our words": lambda yard: yard.start(
        sys.executable, "script.py", "-m", "latchboard", "serve", "--root", str(yard.root)
    ),
    "another verb": lambda yard: yard.start(sys.executable, "-m", "latchboard", "watch", "--root", str(yard.root)),
    "another project's daemon": lambda yard: yard.daemon(yard.other_root),
}


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alike_survives_beside_a_daemon_that_does_not(kind: str, yard: Yard) -> None:
    look_alike, daemon = LOOK_ALIKES[kind](yard), yard.daemon()

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert [one["pid"] for one in report.ended] == [daemon]
    assert is_there(look_alike)
    assert yard.daemons().why_not(look_alike) in ("other-program", "other-project")


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alike_that_is_recorded_makes_a_stale_record_and_survives(kind: str, yard: Yard) -> None:
    look_alike = LOOK_ALIKES[kind](yard)
    yard.record(look_alike)

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert report.recorded is not None
    assert (report.recorded.state, report.is_record_removed) == ("stale", True)
    assert not yard.is_recorded()
    assert is_there(look_alike)


def test_daemon_of_another_user_survives(yard: Yard, require: Any) -> None:
    require(os.geteuid() == 0, "root, to start a process of another user")
    other = yard.daemon(AS_UID="65534")

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert report.ended == []
    assert is_there(other)
    assert yard.daemons().why_not(other) == "other-user"


def test_process_that_becomes_another_program_by_term_gets_no_kill(yard: Yard) -> None:
    pid = yard.daemon(ON_TERM="execs")

    report = yard.daemons().enforce(term_wait_s=4.0)  # so long it takes: a process is there all the time

    assert report.ended == [{"pid": pid, "is_gone": False, "by": "TERM", "why": "other-program"}]
    assert is_there(pid)
    process = yard.running[-1]
    assert process.stdout is not None
    assert process.stdout.readline() == "another\n"


def test_on_a_host_with_a_tools_variables_nothing_ends(yard: Yard) -> None:
    daemon, gone = yard.daemon(), yard.daemon()
    yard.record(gone)
    yard.running[-1].kill()
    yard.running[-1].wait()

    report = yard.daemons(OnAHost()).enforce(term_wait_s=PATIENCE_S)

    assert (report.mode, report.is_record_removed, report.ended) == ("host", True, [])
    assert not yard.is_recorded()
    assert is_there(daemon)


def test_recorded_start_time_tells_two_processes_with_one_pid_apart(yard: Yard) -> None:
    pid = yard.daemon()
    yard.record(pid, start=_start(pid) - 1)

    recorded = yard.daemons().verify()

    assert (recorded.state, recorded.why) == ("stale", "recycled")


@pytest.mark.parametrize("content", [b"", b"garbage", b"-5", b"0", b"9" * 100, b"1" * 70000, b"12 34", b"\xff\0"])
def test_pid_file_with_garbage_is_stale_and_goes(content: bytes, yard: Yard) -> None:
    daemon = yard.daemon(yard.other_root)
    yard.record(daemon)
    folder = yard.root / "data" / ".agent_pids"
    (folder / "daemon.json").unlink()
    (folder / "daemon.pid").write_bytes(content)

    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert report.recorded is not None
    assert (report.recorded.state, report.recorded.why, report.is_record_removed) == ("stale", "garbage", True)
    assert is_there(daemon)


def test_pid_file_alone_names_a_daemon_that_is_ours(yard: Yard) -> None:
    daemon = yard.daemon()
    yard.record(daemon)
    (yard.root / "data" / ".agent_pids" / "daemon.json").unlink()

    assert yard.daemons().verify().state == "running"
    assert yard.daemons().enforce(term_wait_s=PATIENCE_S).ended == []


# -- pid namespaces


def recycle_a_pid(channel: Channel, folder: str) -> None:
    """As number 1 of a pid namespace: a recorded daemon dies, and its pid goes to a stranger and to a twin."""
    if not space.become_first(channel, own_proc=True):
        return
    try:
        _recycle(channel, Yard(Path(folder)))
    except OSError as exc:
        channel.send(refused=str(exc))
    finally:
        os._exit(0)


def _recycle(channel: Channel, yard: Yard) -> None:
    first = yard.daemon()
    yard.record(first)
    record = yard.root / "data" / ".agent_pids" / "daemon.json"
    identity = json.loads(record.read_text())["process"]
    for start in (LOOK_ALIKES["editor whose argument names us"], Yard.daemon):
        yard.close()
        yard.running.clear()
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first - 1))
        second = start(yard)
        yard.record(first)
        record.write_text(json.dumps({"process": identity}))
        ending = end_process(SystemHost(), SystemClock(), identity)
        report = yard.daemons(OnAHost()).enforce(term_wait_s=PATIENCE_S)
        assert report.recorded is not None
        channel.send(
            pids=[first, second],
            verdict=report.recorded.why,
            state=report.recorded.state,
            ending=ending.to_json(),
            is_there=is_there(second),
        )


def test_process_that_got_a_dead_daemons_pid_survives__failure_3_5(
    nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    child = nursery.start(recycle_a_pid, folder=str(tmp_path))

    for _ in ("an editor", "another daemon"):
        told = child.receive()
        require("refused" not in told, f"a pid namespace in which pids can be chosen: {told.get('refused')}")
        assert told["pids"][0] == told["pids"][1], "the pid was recycled"
        assert (told["state"], told["verdict"]) == ("stale", "recycled")
        assert told["ending"] == {"is_gone": True, "by": None, "why": "recycled"}
        assert told["is_there"]


def daemon_in_a_container(channel: Channel, folder: str, own_proc: bool) -> None:
    """As number 1 of a pid namespace: start a daemon, and enforce from in there when told."""
    if not space.become_first(channel, own_proc=own_proc):
        return
    try:
        yard = Yard.__new__(Yard)
        yard.root, yard.path, yard.running = Path(folder) / "project", Path(folder) / "path", []
        channel.send(pid=yard.daemon())
        while True:
            channel.receive(3600)
            channel.send(why=_enforce_or_say_why(yard), is_alive=yard.running[0].poll() is None)
    finally:
        os._exit(0)


def _enforce_or_say_why(yard: Yard) -> str:
    try:
        return f"ended {len(yard.daemons().enforce(term_wait_s=PATIENCE_S).ended)}"
    except Exception as exc:  # noqa: BLE001 - told to the test
        return type(exc).__name__


def test_daemon_of_the_same_folder_in_another_container_survives__failure_3_6(
    yard: Yard, nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    child = nursery.start(daemon_in_a_container, folder=str(tmp_path), own_proc=True)
    told = child.receive()
    require("refused" not in told, f"a pid namespace: {told.get('refused')}")
    outside = yard.daemon()

    seen = [one.why for one in yard.daemons().find() if str(yard.root) in one.process["argv"]]
    report = yard.daemons().enforce(term_wait_s=PATIENCE_S)

    assert sorted(seen) == ["", "unknowable"]
    assert [one["pid"] for one in report.ended] == [outside]
    assert child.ask(go=True) == {"why": "ended 1", "is_alive": False}, "alive until it was ended from inside"


def test_where_proc_shows_other_pids_nobody_is_signalled__failure_3_6(
    yard: Yard, nursery: Nursery, tmp_path: Path, require: Any
) -> None:
    child = nursery.start(daemon_in_a_container, folder=str(tmp_path), own_proc=False)
    told = child.receive()
    require("refused" not in told, f"a pid namespace: {told.get('refused')}")
    outside = yard.daemon()

    assert child.ask(go=True) == {"why": "HostError", "is_alive": True}

    until(lambda: is_there(outside), "the daemon outside is there")
