"""What proves that a process is gone, as tables; nothing here looks at a real one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.host import identity as identity_module
from latchboard.host.identity import INITIAL_PID_NS, PID_MAX, Stat, is_identity, judge, parse_stat, tag

if TYPE_CHECKING:
    from latchboard.host.port import Identity

ME: Identity = {"host": "a" * 32, "boot": "boot-1", "pid_ns": 4026531836, "pid": 10, "start": 1000}
THEM: Identity = {**ME, "pid": 20, "start": 2000}
LINE = b"%d (%s) %s 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 %d 0 %d 8192 100 18446744073709551615 1 1 0\n"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def stat_line(command: bytes) -> bytes:
    return LINE % (20, command, b"S", 1, 2000)


def nobody(pid: int) -> Stat | None:
    return None


def living(pid: int) -> Stat | None:
    return Stat(pid, "S", 1, 2000)


def unreadable(pid: int) -> Stat | None:
    raise PermissionError


def must_not_look(pid: int) -> Stat | None:
    raise AssertionError("a foreign process was looked up by its pid")


# -- /proc/PID/stat


@pytest.mark.parametrize(
    "command",
    [b"python3", b"", b"a b", b")", b"a) S 1 2 (b", b") Z 1 2 3", b"(((", b"a\tb", b"a\nb", b"\xff\xfe", b"0 R 9"],
)
def test_a_command_name_cannot_pass_for_other_fields(command: bytes) -> None:
    found = parse_stat(stat_line(command))

    assert (found.pid, found.state, found.thread_count, found.start) == (20, "S", 1, 2000)


def test_stat_of_this_process_is_read() -> None:
    if not os.path.exists("/proc/self/stat"):
        pytest.skip("not applicable: no /proc")

    found = identity_module.read_stat("self")

    assert found is not None
    assert found.pid == os.getpid()
    assert found.state == "R"
    assert found.start > 0


@pytest.mark.parametrize(
    "data", [b"", b")", b"20 (x", b"20 (x) S", b"20 (x) S 1 2 3", b"x (x) S" + b" 1" * 30, b"(x) S" + b" 1" * 30]
)
def test_what_is_no_stat_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stat(data)


@given(st.binary() | st.binary().map(lambda data: b"20 (x) S " + data) | st.text("0123456789() SZ").map(str.encode))
def test_parse_returns_a_stat_or_refuses(data: bytes) -> None:
    try:
        found = parse_stat(data)
    except ValueError:
        return

    assert isinstance(found.start, int)


@pytest.mark.parametrize(
    ("state", "threads", "is_dead"),
    [
        ("R", 1, False),
        ("S", 1, False),
        ("D", 1, False),
        ("T", 1, False),
        ("t", 1, False),
        ("I", 1, False),
        ("Z", 0, True),
        ("Z", 1, True),
        ("X", 0, True),
        ("x", 0, True),
        ("X", 5, True),
        ("Z", 2, False),
    ],  # its first thread has ended, another one works on
)
def test_only_the_dead_are_dead(state: str, threads: int, is_dead: bool) -> None:
    assert Stat(1, state, threads, 0).is_dead is is_dead


# -- verdict


@pytest.mark.parametrize(
    ("them", "look", "verdict"),
    [
        (ME, must_not_look, "live"),
        (THEM, living, "live"),
        (THEM, nobody, "dead"),
        (THEM, lambda pid: Stat(pid, "Z", 1, 2000), "dead"),
        (THEM, lambda pid: Stat(pid, "X", 0, 2000), "dead"),
        (THEM, lambda pid: Stat(pid, "S", 1, 2001), "recycled"),
        ({**ME, "start": 999}, lambda pid: Stat(pid, "R", 1, 1000), "recycled"),
        (THEM, unreadable, "unknowable"),
        ({**THEM, "pid_ns": 7}, must_not_look, "unknowable"),
        ({**ME, "pid_ns": 7}, must_not_look, "unknowable"),
        ({**THEM, "boot": "boot-0"}, must_not_look, "dead"),
        ({**THEM, "boot": "boot-0", "pid_ns": 7}, must_not_look, "dead"),
        ({**THEM, "boot": "boot-0", "host": "b" * 32}, must_not_look, "unknowable"),
        ({**THEM, "boot": "boot-0", "host": ""}, must_not_look, "unknowable"),
        ({**THEM, "host": "b" * 32}, living, "live"),  # one kernel, two installations in one pid namespace
        ({**THEM, "unknown": "field"}, living, "live"),
    ],
)
def test_verdict(them: Any, look: Any, verdict: str) -> None:
    assert judge(them, ME, look) == verdict


def test_without_a_machine_id_another_boot_proves_nothing() -> None:
    me: Identity = {**ME, "host": ""}

    assert judge({**THEM, "host": "", "boot": "boot-0"}, me, must_not_look) == "unknowable"


def test_a_boot_time_that_drifted_proves_nothing() -> None:
    me: Identity = {**ME, "boot": "~boot-time-100"}

    assert judge({**THEM, "boot": "~boot-time-101"}, me, must_not_look) == "unknowable"
    assert judge({**THEM, "boot": "~boot-time-100", "host": "b" * 32}, me, must_not_look) == "unknowable"
    assert judge({**THEM, "boot": "~boot-time-100"}, me, living) == "live"


def test_pid_reuse_is_seen__failure_3_5() -> None:
    own_pid_other_ticks = {**ME, "start": ME["start"] - 1}
    ticks_missing = {key: value for key, value in ME.items() if key != "start"}

    assert judge(own_pid_other_ticks, ME, lambda pid: Stat(pid, "R", 1, ME["start"])) == "recycled"
    assert judge(ticks_missing, ME, nobody) == "unknowable"


def test_host_name_and_pid_decide_nothing_across_namespaces__failure_3_6() -> None:
    every_container_is_pid_1: Identity = {**ME, "pid": 1, "start": 5}
    other_container: Identity = {**every_container_is_pid_1, "pid_ns": ME["pid_ns"] + 1, "start": 6}

    assert judge(other_container, every_container_is_pid_1, must_not_look) == "unknowable"
    assert judge(every_container_is_pid_1, other_container, must_not_look) == "unknowable"


@pytest.mark.parametrize("field", ["host", "boot", "pid_ns", "pid", "start"])
@pytest.mark.parametrize("value", [None, True, 1.5, -1, "1", [1], {}, float("nan")])
def test_a_malformed_field_makes_it_unknowable(field: str, value: object) -> None:
    if field in ("host", "boot") and isinstance(value, str):
        value = 7

    assert judge({**THEM, field: value}, ME, nobody) == "unknowable"


@pytest.mark.parametrize(
    "them",
    [
        {**THEM, "pid": 0},
        {**THEM, "pid": -20},
        {**THEM, "pid": PID_MAX + 1},
        {**THEM, "pid": 10**100},
        {**THEM, "boot": ""},
        {},
        [],
        None,
        "20",
        20,
        True,
        [THEM],
        {"process": THEM},
    ],
)
def test_what_is_no_identity_is_unknowable(them: object) -> None:
    assert not is_identity(them)
    assert judge(them, ME, nobody) == "unknowable"


@given(JSON)
def test_any_json_gets_a_verdict(value: object) -> None:
    assert judge(value, ME, nobody) in ("live", "dead", "recycled", "unknowable")


@given(st.fixed_dictionaries({}, optional={field: st.just(value) | JSON for field, value in THEM.items()}))
def test_nearly_an_identity_gets_a_verdict_that_fails_closed(value: dict[str, Any]) -> None:
    verdict = judge(value, ME, nobody)

    assert verdict in ("live", "dead", "unknowable")
    if verdict != "unknowable":
        assert is_identity(value)


# -- whose /proc it is


def test_proc_of_another_namespace_is_seen() -> None:
    other_number = Stat(os.getpid() + 1, "R", 1, 0)

    assert not identity_module.proc_is_ours(other_number, INITIAL_PID_NS)
    assert not identity_module.proc_is_ours(Stat(os.getpid(), "R", 1, 0), 0)
    assert identity_module.proc_is_ours(Stat(os.getpid(), "R", 1, 0), INITIAL_PID_NS)


def test_absence_in_a_proc_that_hides_is_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(*_: object, **__: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", hidden)

    with pytest.raises(OSError, match="exists"):
        identity_module.read_stat(os.getppid())
    with pytest.raises(OSError, match="not there"):
        identity_module.read_stat("self")


@pytest.mark.parametrize(
    ("content", "machine"),
    [
        (b"3D1219C7C4C5404AAA1F6D2A48ADFDA4\n", "3d1219c7c4c5404aaa1f6d2a48adfda4"),
        (b"uninitialized\n", ""),
        (b"", ""),
        (b"0" * 32, ""),
        (b"g" * 32, ""),
        (b"\xff" * 32, ""),
        (b"a" * 33, ""),
    ],
)
def test_machine_id_is_one_or_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, machine: str
) -> None:
    (tmp_path / "machine-id").write_bytes(content)
    real_open = open
    monkeypatch.setattr("builtins.open", lambda path, mode: real_open(tmp_path / "machine-id", mode))

    assert identity_module.machine_id() == machine


def test_machine_id_that_cannot_be_read_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("builtins.open", forbidden)

    assert identity_module.machine_id() == ""


# -- tag


def test_tag_can_be_made_by_a_shell_script() -> None:
    text = "\n".join(["a" * 32, "boot-1", "4026531836", "10", "1000"])

    assert tag(ME) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_different_processes_have_different_tags() -> None:
    others: list[Any] = [
        {**ME, "pid": 11},
        {**ME, "start": 1},
        {**ME, "boot": "x"},
        {**ME, "pid_ns": 1},
        {**ME, "host": ""},
    ]

    assert len({tag(one) for one in [ME, *others]}) == 6


def test_tag_of_broken_text_is_still_a_tag() -> None:
    assert len(tag({**ME, "host": "\ud800"})) == 12


def test_tag_does_not_need_the_private_module(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tag(ME)
    monkeypatch.setattr(identity_module, "_sha256", None)
    monkeypatch.setattr(identity_module, "_SHA256_HOMES", ("no_such_module", "hashlib"))

    assert tag(ME) == before


def test_tag_loads_neither_hashlib_nor_openssl() -> None:
    code = (
        "import sys; from latchboard.host.identity import tag; tag(dict(host='', boot='b', pid_ns=1, pid=1, start=1));"
        "print(sorted({'hashlib', '_hashlib', 'ssl', 'typing', 'psutil'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"
