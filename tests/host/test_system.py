"""Verdicts about real processes: killed, zombie, recycled, forked, in another pid namespace."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import SystemClock
from latchboard.errors import HostError
from latchboard.host import identity as identity_module
from latchboard.host import system as system_module
from latchboard.host.system import SystemHost

if TYPE_CHECKING:
    from latchboard.host.port import Identity, Watchable

pytestmark = pytest.mark.process

SAY_WHO = "import json; from latchboard.host.system import SystemHost; print(json.dumps(SystemHost().me()), flush=True)"
STAY = f"{SAY_WHO}; input()"
JUDGE = (
    "import json, sys; from latchboard.host.system import SystemHost; host = SystemHost();"
    "print(json.dumps([host.me(), [host.verdict(one) for one in json.load(sys.stdin)], host.verdict(host.me())]))"
)
needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="not applicable: no pidfd")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="not applicable: no /proc")


class Child:
    """A process that says who it is and then waits for its input to end."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", STAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.identity: Identity = json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        """SIGKILL; it stays a zombie until `reap`."""
        self.process.kill()
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    yield made
    if made.process.returncode is None:
        made.process.kill()
        made.reap()


@pytest.fixture
def host() -> SystemHost:
    return SystemHost()


def is_readable(watch: Watchable | None, timeout_s: float = 0) -> bool:
    assert watch is not None
    return SystemClock().wait([watch], timeout_s)


# -- who I am


def test_me_is_this_process(host: SystemHost) -> None:
    me = host.me()

    assert me["pid"] == os.getpid()
    assert host.verdict(me) == "live"
    assert host.me() == SystemHost().me() == me


def test_an_answer_may_be_changed_by_its_receiver(host: SystemHost) -> None:
    host.me()["pid"] = 0

    assert host.me()["pid"] == os.getpid()


def test_a_forked_child_is_somebody_else__failure_3_8(host: SystemHost) -> None:
    parent = host.me()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps([host.me(), host.verdict(parent), host.verdict(host.me())]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        child, parent_seen_by_child, child_seen_by_child = json.load(file)
    os.waitpid(pid, 0)

    assert child["pid"] == pid
    assert parent_seen_by_child == child_seen_by_child == "live"
    assert host.me() == parent
    assert host.verdict(child) == "dead"


def test_a_fork_that_got_its_dead_grandparents_pid_asks_anew(host: SystemHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.me()
    asked: list[bool] = []
    introduce = system_module._introduce
    monkeypatch.setattr(system_module, "_introduce", lambda: (asked.append(True), introduce())[1])

    host.me()
    assert not asked
    system_module._count_fork()  # as after os.fork; the pid is the same
    host.me()

    assert asked


# -- verdicts


def test_a_living_process_is_live(host: SystemHost, child: Child) -> None:
    assert host.verdict(child.identity) == "live"


def test_a_stopped_process_is_live(host: SystemHost, child: Child) -> None:
    child.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.process.pid, os.WSTOPPED | os.WNOWAIT)

    assert host.verdict(child.identity) == "live"


def test_a_killed_process_is_dead_as_a_zombie_and_after(host: SystemHost, child: Child) -> None:
    child.kill()

    assert host.verdict(child.identity) == "dead"
    child.reap()
    assert host.verdict(child.identity) == "dead"


def test_pid_reuse_is_seen__failure_3_5(host: SystemHost, child: Child) -> None:
    own_pid_other_ticks = {**host.me(), "start": host.me()["start"] - 1}
    childs_pid_other_ticks = {**child.identity, "start": child.identity["start"] + 1}
    pid_1_is_always_somebody = {**host.me(), "pid": 1, "start": 10**9}

    assert host.verdict(own_pid_other_ticks) == "recycled"
    assert host.verdict(childs_pid_other_ticks) == "recycled"
    assert host.verdict(pid_1_is_always_somebody) == "recycled"


@needs_proc
def test_a_process_whose_first_thread_has_ended_is_live(host: SystemHost) -> None:
    code = (
        "import ctypes, os, sys, threading;"
        f"exec({SAY_WHO!r});"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start();"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    identity = json.loads(process.stdout.readline())
    try:
        while (stat := identity_module.read_stat(process.pid)) is not None and stat.state != "Z":
            os.sched_yield()

        assert stat is not None
        assert stat.thread_count > 1
        assert host.verdict(identity) == "live"
    finally:
        process.communicate(timeout=60)
    assert host.verdict(identity) == "dead"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["host", "boot", "pid_ns", "pid", "start"]))
def test_any_json_gets_a_verdict_and_nothing_raises(value: Any, field: str) -> None:
    host = SystemHost()
    nearly: dict[str, Any] = {**host.me(), field: value}

    for one in (value, nearly):
        assert host.verdict(one) in ("dead", "recycled", "unknowable", "live")
        watch = host.death_watch(one)
        if watch is not None:
            watch.close()


def test_a_host_that_does_not_know_itself_knows_nobody(host: SystemHost, monkeypatch: pytest.MonkeyPatch) -> None:
    me = host.me()
    monkeypatch.setattr(system_module, "_has_no_proc", lambda: False)
    monkeypatch.setattr(system_module, "read_stat", lambda pid: None)
    stranger = SystemHost()

    assert stranger.verdict(me) == "unknowable"
    assert stranger.death_watch(me) is None
    with pytest.raises(HostError, match="who this process is"):
        stranger.me()


# -- other pid namespaces


def judge_inside(require_tool: Callable[[str], str], require: Callable[[object, str], None], *options: str) -> Any:
    """What a process in a pid namespace of its own says about this one, about its own pids, and about itself."""
    unshare = require_tool("unshare")
    probe = subprocess.run([unshare, *options, "true"], capture_output=True, check=False, timeout=60)
    require(probe.returncode == 0, "may not make a pid namespace")
    me = SystemHost().me()
    asked = [me, {**me, "pid": 1}, {**me, "pid": os.getppid()}]
    done = subprocess.run(
        [unshare, *options, sys.executable, "-c", JUDGE],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@needs_proc
@pytest.mark.parametrize("options", [("-pf",), ("-pf", "--mount-proc")], ids=["proc-of-outside", "own-proc"])
def test_nobody_is_judged_across_pid_namespaces__failure_3_6(
    host: SystemHost,
    require_tool: Callable[[str], str],
    require: Callable[[object, str], None],
    options: tuple[str, ...],
) -> None:
    inner, of_outside, of_itself = judge_inside(require_tool, require, *options)

    assert inner["pid"] == 1
    assert inner["pid_ns"] != host.me()["pid_ns"]
    assert inner["boot"] == host.me()["boot"]
    assert of_outside == ["unknowable"] * 3
    assert of_itself == "live"
    assert host.verdict(inner) == "unknowable"
    assert host.death_watch(inner) is None


@needs_proc
def test_pids_are_not_looked_up_in_the_proc_of_another_namespace__failure_3_6(
    require_tool: Callable[[str], str], require: Callable[[object, str], None]
) -> None:
    # Inside, /proc still numbers the processes outside: pid 1 there is somebody else, and so is nearly every other.
    code = (
        "import json, os; from latchboard.host.system import SystemHost; host = SystemHost(); me = host.me();"
        "print(json.dumps([host.verdict({**me, 'pid': pid}) for pid in (2, 3, 4_000_000)]))"
    )
    unshare = require_tool("unshare")
    done = subprocess.run([unshare, "-pf", sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    require(done.returncode == 0, "may not make a pid namespace")

    assert json.loads(done.stdout) == ["unknowable"] * 3


@needs_proc
def test_a_process_that_proc_hides_is_not_dead__failure_3_6(
    require_tool: Callable[[str], str], require: Callable[[object, str], None]
) -> None:
    # hidepid=2: to another user, /proc/PID does not exist although the process does.
    require(os.geteuid() == 0, "may not mount /proc and change its user")
    code = (
        "import json, os, sys; from latchboard.host.system import SystemHost; asked = json.load(sys.stdin);"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); host = SystemHost();"
        "print(json.dumps([os.path.exists(f'/proc/{asked[0][\"pid\"]}'), [host.verdict(one) for one in asked]]))"
    )
    script = 'mount -t proc -o hidepid=2 proc /proc || exit 77; exec "$0" -c "$1"'
    me = SystemHost().me()
    done = subprocess.run(
        [require_tool("unshare"), "-m", "sh", "-c", script, sys.executable, code],
        input=json.dumps([me, {**me, "pid": 4_000_000}]).encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    require(done.returncode != 77, "may not mount /proc")

    is_visible, verdicts = json.loads(done.stdout)
    assert not is_visible
    assert verdicts == ["unknowable", "dead"]


# -- death watch


@needs_pidfd
def test_death_watch_becomes_readable_after_sigkill(host: SystemHost, child: Child) -> None:
    watch = host.death_watch(child.identity)
    assert not is_readable(watch)

    child.process.kill()

    assert is_readable(watch, 60)
    assert host.verdict(child.identity) == "dead"


@needs_pidfd
def test_death_watch_of_the_gone_is_readable_at_once(host: SystemHost, child: Child) -> None:
    recycled = {**child.identity, "start": child.identity["start"] + 1}
    assert is_readable(host.death_watch(recycled))

    child.kill()
    assert is_readable(host.death_watch(child.identity))
    child.reap()

    watch = host.death_watch(child.identity)
    assert is_readable(watch)
    assert watch is not None
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    assert poll.poll(0)
    watch.close()
    watch.close()


@needs_pidfd
def test_a_pid_recycled_before_the_pidfd_is_open_is_not_watched__failure_3_5(
    host: SystemHost, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    successor = Child()
    pidfd_open = os.pidfd_open

    def open_too_late(pid: int) -> int:
        child.kill()
        child.reap()
        return pidfd_open(successor.process.pid)  # the pid belongs to somebody else by now

    monkeypatch.setattr(os, "pidfd_open", open_too_late)
    try:
        watch = host.death_watch(child.identity)

        assert is_readable(watch)
    finally:
        successor.process.communicate(timeout=60)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOSYS, errno.EPERM])
def test_no_descriptor_left_means_no_death_watch(
    host: SystemHost, child: Child, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(pid: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)

    assert host.death_watch(child.identity) is None
    assert host.verdict(child.identity) == "live"


def test_without_pidfd_there_is_no_death_watch(host: SystemHost, child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)

    assert host.death_watch(child.identity) is None


def test_a_watch_does_not_reach_other_programs(host: SystemHost, child: Child) -> None:
    for one in (child.identity, {**child.identity, "start": 1}):
        watch = host.death_watch(one)
        if watch is not None:
            assert not os.get_inheritable(watch.fileno())


# -- systems without /proc


def test_psutil_tells_the_same_where_there_is_no_proc(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_module, "_has_no_proc", lambda: True)
    host = SystemHost()
    me = host.me()
    found = system_module._stat_by_psutil(child.process.pid)
    assert found is not None
    identity = {**me, "pid": child.process.pid, "start": found.start}

    assert me["pid_ns"] == 0
    assert host.verdict(me) == host.verdict(identity) == "live"
    assert host.verdict({**identity, "start": found.start - 100}) == "recycled"
    child.kill()
    assert host.verdict(identity) == "dead"
    child.reap()
    assert host.verdict(identity) == "dead"


def test_psutil_that_may_not_look_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def denied(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(system_module, "_has_no_proc", lambda: True)
    host = SystemHost()
    me = host.me()
    monkeypatch.setattr(psutil, "Process", denied)

    assert host.verdict({**me, "pid": 1}) == "unknowable"
