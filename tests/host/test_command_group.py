"""Command group and keeper: started, written, ended as one, whatever is in it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import CommandNotFound, CommandNotRunnable, UsageError
from latchboard.host import keeper
from latchboard.host.command_group import CommandGroup, check_command
from latchboard.host.kernel_lock import kernel_lock
from latchboard.host.lock_file import LockFile

pytestmark = pytest.mark.process

PATIENCE_S = 60.0


@pytest.fixture
def groups() -> Iterator[list[CommandGroup]]:
    made: list[CommandGroup] = []
    yield made
    for one in made:
        one.end_now()
        wait(one)


def start(groups: list[CommandGroup], folder: Path, *command: str, **said: Any) -> CommandGroup:
    keys: dict[str, Any] = {"environment": dict(os.environ), "text": b"", "grace_s": 30.0, "output_bytes_max": 100}
    groups.append(CommandGroup(command, folder=str(folder), **{**keys, **said}))
    return groups[-1]


def wait(group: CommandGroup) -> CommandGroup:
    deadline_s = time.monotonic() + PATIENCE_S
    while not group.look():
        assert time.monotonic() < deadline_s
        select.select(group.readables(), [], [], 1.0)
    return group


def wait_for(group: CommandGroup, text: bytes) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while text not in group.output:
        assert not group.look(), group.output
        assert time.monotonic() < deadline_s
        select.select(group.readables(), [], [], 1.0)


def test_input_output_and_status(groups: list[CommandGroup], tmp_path: Path) -> None:
    found = wait(start(groups, tmp_path, "sh", "-c", "cat; pwd >&2; exit 7", text=b"x" * 300_000))

    assert (found.exit_code, found.signal) == (7, None)
    assert found.output_bytes == 300_000 + len(str(tmp_path)) + 1
    assert found.output.endswith(f"{tmp_path}\n".encode())
    assert len(found.output) == 100


def test_a_command_gets_no_file_of_ours(groups: list[CommandGroup], tmp_path: Path) -> None:
    lock = LockFile(str(tmp_path / "lock"), kernel_lock())
    assert lock.try_lock()

    found = wait(start(groups, tmp_path, "ls", "/proc/self/fd", lock=lock, output_bytes_max=1000))

    assert found.output.split() == [b"0", b"1", b"2", b"3"]  # the last is the listing's own
    lock.close()


def test_a_command_gets_the_signals_as_the_system_has_them(groups: list[CommandGroup], tmp_path: Path) -> None:
    command = ("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")

    found = wait(start(groups, tmp_path, *command, output_bytes_max=1000))

    masks = [int(line.split()[1], 16) for line in found.output.splitlines()]
    assert [mask & 0x7FFFFFFF for mask in masks] == [0, 0]  # 32 and 33 are the C library's own


def test_a_command_dies_of_a_signal(groups: list[CommandGroup], tmp_path: Path) -> None:
    found = wait(start(groups, tmp_path, "sh", "-c", "kill -USR1 $$"))

    assert (found.exit_code, found.signal) == (None, 10)


@pytest.mark.parametrize(
    ("command", "error"),
    [("no-such-program", CommandNotFound), ("./none", CommandNotFound), (".", CommandNotRunnable)],
)
def test_what_does_not_start_says_so(
    groups: list[CommandGroup], tmp_path: Path, command: str, error: type[Exception]
) -> None:
    group = start(groups, tmp_path, command)

    with pytest.raises(error):
        wait(group)
    assert group.look()


def test_a_group_ends_whole(groups: list[CommandGroup], tmp_path: Path) -> None:
    text = "sleep 300 & sleep 300 & echo begun; wait"
    group = start(groups, tmp_path, "sh", "-c", text, output_bytes_max=1000, grace_s=PATIENCE_S)
    wait_for(group, b"begun")
    started_s = time.monotonic()

    group.end()

    assert wait(group).signal == 15
    assert time.monotonic() - started_s < PATIENCE_S, "it does not wait for its grace"
    assert _group_of(group) == []


def test_who_is_deaf_is_killed_after_the_grace(groups: list[CommandGroup], tmp_path: Path) -> None:
    text = "trap '' TERM; sh -c 'trap \"\" TERM; sleep 300' & echo begun; wait; wait"
    group = start(groups, tmp_path, "sh", "-c", text, grace_s=0.3)
    wait_for(group, b"begun")

    group.end()

    found = wait(group)
    assert (found.exit_code, found.signal) == (None, None)
    assert _group_of(group) == []


def test_a_keeper_that_is_killed_takes_its_group_with_it(groups: list[CommandGroup], tmp_path: Path) -> None:
    """Somebody has killed it, the kernel for its memory, say: nobody is left to end the command but us."""
    group = start(groups, tmp_path, "sh", "-c", "sleep 300 & echo begun; wait")
    wait_for(group, b"begun")

    os.kill(group._process.pid, 9)

    found = wait(group)
    assert (found.exit_code, found.signal) == (None, None)
    assert _group_of(group) == []


def test_who_is_stopped_hears_it_all_the_same(groups: list[CommandGroup], tmp_path: Path) -> None:
    group = start(groups, tmp_path, "sh", "-c", "echo begun; kill -STOP $$; sleep 300")
    wait_for(group, b"begun")

    group.end()

    assert wait(group).signal == 15


@pytest.mark.needs_tool("ps")
@pytest.mark.parametrize("look", [keeper.others, keeper._others_by_ps])
def test_who_is_left_is_seen_with_and_without_proc(
    groups: list[CommandGroup], tmp_path: Path, look: Callable[[int], bool]
) -> None:
    group = start(groups, tmp_path, "sh", "-c", "echo begun; exec sleep 300")
    wait_for(group, b"begun")

    assert look(group._process.pid)
    group.end()
    wait(group)
    assert not look(group._process.pid)


def test_the_lock_lasts_as_long_as_the_group(groups: list[CommandGroup], tmp_path: Path) -> None:
    """Its first holder lets go of it, as when it is killed; the next one has it when the group is gone."""
    lock, other = (LockFile(str(tmp_path / "lock"), kernel_lock()) for _ in range(2))
    assert lock.try_lock()
    group = start(groups, tmp_path, "sh", "-c", "echo begun; sleep 300", lock=lock)
    wait_for(group, b"begun")
    lock.close()

    assert not other.try_lock()
    group.end()
    wait(group)
    assert other.try_lock()
    other.close()


@pytest.mark.parametrize(
    ("command", "folder", "error"),
    [
        ("sh", "", None),
        ("./tool", "", None),
        ("no-such-program", "", CommandNotFound),
        ("./none", "", CommandNotFound),
        ("./plain", "", CommandNotRunnable),
        ("./sub", "", CommandNotRunnable),
        ("sh", "none", UsageError),
        ("../tool", "sub", None),
    ],
)
def test_a_command_is_looked_for_before_it_is_needed(
    tmp_path: Path, command: str, folder: str, error: type[Exception] | None
) -> None:
    (tmp_path / "tool").touch(0o755)
    (tmp_path / "plain").touch(0o644)
    (tmp_path / "sub").mkdir()

    def look() -> None:
        check_command([command], folder=str(tmp_path / folder), environment=os.environ)

    if error is None:
        look()
    else:
        with pytest.raises(error):
            look()


def _group_of(group: CommandGroup) -> list[str]:
    """Who is left of it."""
    found = []
    for name in os.listdir("/proc"):
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
        except (OSError, ValueError):
            continue
        if fields and int(fields[2]) == group._process.pid and fields[0] != b"Z":
            found.append(name)
    return found
