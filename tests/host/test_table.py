"""What the machine says about real processes: their arguments, program, user and folder; by /proc and by psutil."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import HostError
from latchboard.host import system as system_module
from latchboard.host import table
from latchboard.host.identity import Stat
from latchboard.host.system import SystemHost

pytestmark = pytest.mark.process
WORDS = ["-c", "print('ready', flush=True); input()", "latchboard", "\udcff odd \n word", ""]
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="not applicable: no /proc")
both = pytest.mark.parametrize("has_proc", [pytest.param(True, marks=needs_proc), False], ids=["proc", "psutil"])


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    made = subprocess.Popen([sys.executable, *WORDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert made.stdout is not None
    assert made.stdout.readline() == b"ready\n"
    yield made
    made.kill()
    made.communicate()


@both
def test_process_is_described(child: subprocess.Popen[bytes], has_proc: bool) -> None:
    me = SystemHost().me()

    found = table.look(child.pid, me, has_proc=has_proc)

    assert found is not None
    assert found["identity"]["pid"] == child.pid
    assert (found["parent"], found["uid"]) == (os.getpid(), os.getuid())
    assert found["argv"][1:] == WORDS
    assert os.path.realpath(found["exe"]) == os.path.realpath(sys.executable)
    if has_proc:
        assert SystemHost().verdict(found["identity"]) == "live"


@both
def test_zombie_has_no_arguments_and_the_dead_are_not_there(child: subprocess.Popen[bytes], has_proc: bool) -> None:
    me = SystemHost().me()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    zombie = table.look(child.pid, me, has_proc=has_proc)
    child.communicate()

    assert zombie is None or zombie["argv"] == []
    assert table.look(child.pid, me, has_proc=has_proc) is None


@both
def test_scan_finds_whole_words_alone(child: subprocess.Popen[bytes], has_proc: bool) -> None:
    me = SystemHost().me()

    assert child.pid in [one["identity"]["pid"] for one in table.scan("latchboard", me, has_proc=has_proc)]
    assert child.pid not in [one["identity"]["pid"] for one in table.scan("latchboar", me, has_proc=has_proc)]


@needs_proc
@pytest.mark.parametrize("length", [table.ARGV_BYTES_MAX // 2, table.ARGV_BYTES_MAX])
def test_command_line_beyond_the_limit_counts_as_unreadable(length: int) -> None:
    half = "x" * (length // 2)  # one argument has a limit of its own
    program = [sys.executable, "-c", "print('ready', flush=True); input()", half, half]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = SystemHost().look(child.pid)
        child.kill()

    assert found is not None
    assert bool(found["argv"]) == (length < table.ARGV_BYTES_MAX)


@needs_proc
def test_process_that_wrote_over_its_command_line_is_unreadable() -> None:
    program = (
        "import ctypes; fields = open('/proc/self/stat').read().rpartition(')')[2].split();"
        "start, end = int(fields[45]), int(fields[46]);"
        "ctypes.memset(start, ord('x'), end - start); print('ready', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        found = SystemHost().look(child.pid)
        child.kill()

    assert found is not None
    assert found["argv"] == [] or "latchboard" not in found["argv"]


def test_folder_is_the_same_by_any_path(tmp_path: Path) -> None:
    host = SystemHost()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    me = host.look(os.getpid())

    folder = host.folder(None, str(tmp_path / "a"))

    assert folder
    assert host.folder(None, str(tmp_path / "b")) == folder
    assert host.folder(me, str(tmp_path / "a")) == folder
    assert host.folder(me, str(tmp_path)) != folder
    assert host.folder(None, str(tmp_path / "none")) == host.folder(None, "a\0b") == ""


def test_where_proc_is_another_namespaces_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    introduce = system_module._introduce
    monkeypatch.setattr(system_module, "_introduce", lambda: (introduce()[0], False))
    host = SystemHost()

    for ask in (lambda: host.look(os.getpid()), lambda: host.scan("latchboard")):
        with pytest.raises(HostError, match="another pid namespace"):
            ask()  # type: ignore[no-untyped-call]


def test_process_that_is_another_one_by_the_second_look_is_described_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    read, starts = table.read_stat, iter([1, 2, 2, 2])

    def recycled(pid: int) -> Stat | None:
        stat = read(pid)
        return stat and Stat(stat.pid, stat.state, stat.thread_count, next(starts))

    monkeypatch.setattr(table, "read_stat", recycled)
    found = SystemHost().look(os.getpid())

    assert found is not None
    assert (found["identity"]["start"], list(starts)) == (2, [])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="not applicable: there is no pidfd here")
def test_grip_is_a_pidfd_where_there_is_one__failure_3_5(child: subprocess.Popen[bytes]) -> None:
    host = SystemHost()
    found = host.look(child.pid)
    assert found is not None
    grip = host.grip(found["identity"])
    assert grip is not None

    assert len(grip.readables()) == 1

    child.kill()
    child.communicate()
    assert grip.send("TERM") == "dead"
    grip.close()


def test_grip_on_nobody_is_none(child: subprocess.Popen[bytes]) -> None:
    host = SystemHost()
    found = host.look(child.pid)
    assert found is not None
    child.kill()
    child.communicate()

    assert host.grip(found["identity"]) is None


def test_psutil_that_may_not_look_gives_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def denied(self: Any) -> Any:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "exe", denied)
    found = table.look(os.getpid(), SystemHost().me(), has_proc=False)

    assert found is not None
    assert found["exe"] == ""
