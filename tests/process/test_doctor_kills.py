"""A repair is killed, or refused by the system, at every call that changes something, and meets agents who go on.

Nothing is lost: what is held stays held, what a repair takes away lies in its copy, and to do it again completes it.
"""

from __future__ import annotations

import os
import select
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import Latchboard, doctoring
from latchboard.errors import CoordinationError
from latchboard.store.files import journal_end
from tests.conftest import SOAK
from tests.process import test_doctor_findings as scenes
from tests.process.nursery import Channel, Gone, Nursery
from tests.process.trace import SPARED, Trace
from tests.process.ward import Ward

pytestmark = [pytest.mark.process, pytest.mark.needs_tool("strace")]

HELD = {f"src/{number}.py": "planner" for number in range(3)}
CHANGING = ("fallocate", "fdatasync", "fsync", "ftruncate", "linkat", "mkdirat", "pwrite64", "renameat", "unlinkat")
NAMES = (*CHANGING, "flock", "openat", "rename", "renameat2", "unlink", "write")
REFUSED = {
    "ENOSPC": ("mkdirat", "pwrite64", "renameat", "write", "fsync"),
    "EROFS": ("mkdirat", "renameat", "unlinkat"),
    "EIO": ("openat", "read"),
}
SECRET = b'{"schema_version": 1, "access_token": "half a gra'


def stranger_in_agents(ward: Ward) -> None:
    scenes.unknown_garbage(ward)


def stuck_record(ward: Ward) -> None:
    scenes.machine_lock(ward, age_s=3600)


def damaged_credential(ward: Ward) -> None:
    scenes.configured(ward).write_bytes(SECRET)


SCENES: dict[str, tuple[str, Callable[[Ward], None]]] = {
    "record": ("fix", scenes.garbage_lock),
    "line": ("fix", scenes.damaged_line),
    "format": ("fix", scenes.garbage_format),
    "torn": ("fix", scenes.torn_tail),
    "header": ("fix", scenes.garbage_header),
    "aside": ("fix", stranger_in_agents),
    "unstick": ("unstick-lock", stuck_record),
    "reset": ("reset", damaged_credential),
}


def mending(channel: Channel, root: str, kind: str, state: str) -> None:
    """Repairs when it is told to, in a process that has done so before: nothing is loaded under way."""
    os.environ["XDG_STATE_HOME"] = state
    journal_end._STILL_S = 0.02  # type: ignore[misc]  # nobody else is here to wait for
    board = Latchboard(root, publishes=False)
    doctoring.mend(board, kind, dry_run=True)
    channel.send(ready=True)
    while True:
        channel.receive(3600)
        try:
            deeds = doctoring.mend(board, kind, dry_run=False)
        except CoordinationError as exc:
            channel.send(error=exc.code)
        else:
            channel.send(deeds=[one.to_json() for one in deeds])


class Attempts:
    """One repair, again and again, each in a project of its own."""

    def __init__(self, name: str, nursery: Nursery, folder: Path) -> None:
        self._kind, self._damage = SCENES[name]
        self._nursery, self._folder = nursery, folder
        self.calls: Counter[str] = Counter()
        self.problems: list[str] = []

    def attempt(self, *injections: str) -> bool:
        """Whether it was killed."""
        folder = self._folder / "attempt"
        folder.mkdir()
        ward = Ward(folder, lambda name, value: None)
        try:
            self._damage(ward)
            before = _kept(ward, self._damage)
            was_killed, told = self._run(ward, *injections)
            self.problems += [f"{injections}: {one}: {told}" for one in self._wrong(ward, before)]
        finally:
            ward.close()
            self._nursery.clear()
            shutil.rmtree(folder)
        return was_killed

    def _run(self, ward: Ward, *injections: str) -> tuple[bool, Any]:
        state = str(ward.state.parents[1])
        victim = self._nursery.start(mending, root=str(ward.root), kind=self._kind, state=state)
        victim.receive()
        with Trace(victim.pid, ward.folder / "calls", *injections) as trace:
            try:
                victim.channel.send(go=True)
                told = victim.receive()
            except Gone:
                victim.wait()
                return True, None
            self.calls = self.calls or Counter(name for name, _ in trace.calls())
        return False, told

    def _wrong(self, ward: Ward, before: bytes | None) -> list[str]:
        found = []
        board = ward.board()
        for name in HELD if self._kind == "fix" else ():
            try:
                hold = board.agent("builder").try_lock(name)
            except CoordinationError:
                continue  # it cannot be read, and counts as held
            if hold:
                found.append(f"{name} was free")
        board.close()
        if before is not None and not _is_there(before, ward):
            found.append("what was there is lost")
        again = doctoring.mend(ward.board(), self._kind, dry_run=False)
        found += [f"again: {one.what}: {one.why_not}" for one in again if not one.is_done]
        if before is not None and not _is_there(before, ward):
            found.append("what was there is lost afterwards")
        if self._kind == "fix":
            found += [repr(one) for one in ward.look().findings if one.id not in ("F-124", "F-112")]
            board = ward.board()
            holders = {name: [one["agent"] for one in board.locks.check([name])] for name in HELD}
            found += [f"{name}: {holders[name]}" for name, who in HELD.items() if holders[name] != [who]]
        elif self._kind == "unstick-lock":
            found += [] if ward.state.joinpath("github.json.lock").read_bytes() == b"" else ["it is still there"]
        else:
            found += ["it is still there"] if ward.state.joinpath("github.json").exists() else []
        return found


def _kept(ward: Ward, damage: Callable[[Ward], None]) -> bytes | None:
    """What must be somewhere whatever happens; None: nothing, for what is there is taken away for good."""
    if damage is scenes.damaged_line:
        return ward.journal().read_bytes()
    wanted = {
        damaged_credential: SECRET,
        scenes.garbage_lock: b"\0garbage",
        scenes.garbage_format: b"{",
        stranger_in_agents: b"{",
    }
    return wanted.get(damage)


def _is_there(data: bytes, ward: Ward) -> bool:
    """Whether it is in any file: a journal may have grown since."""
    return any(data in path.read_bytes() for path in ward.folder.rglob("*") if path.is_file())


def _numbers(count: int) -> list[int]:
    """Which of so many calls of one name: the first and the last; in the soak all of them."""
    return list(range(1, count + 1)) if SOAK else sorted({1, count})


@pytest.fixture(autouse=True)
def _home(memory_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(memory_path / "attempt" / "home" / "state"))
    monkeypatch.setattr(journal_end, "_STILL_S", 0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCENES)
def test_a_repair_that_is_killed_at_any_call_loses_nothing_and_is_begun_anew(
    name: str, nursery: Nursery, memory_path: Path
) -> None:
    attempts, killed_count = Attempts(name, nursery, memory_path), 0
    assert not attempts.attempt()

    for call in [one for one in NAMES if one in attempts.calls and one not in SPARED]:
        for number in _numbers(attempts.calls[call]):
            killed_count += attempts.attempt(f"{call}:signal=KILL:when={number}")

    print(f"{name}: killed at {killed_count} calls")
    assert attempts.problems == []
    assert killed_count > 3


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("error", REFUSED)
@pytest.mark.parametrize("name", SCENES)
def test_a_repair_that_the_system_refuses_loses_nothing_and_is_done_later(
    name: str, error: str, nursery: Nursery, memory_path: Path
) -> None:
    attempts = Attempts(name, nursery, memory_path)
    assert not attempts.attempt()

    for call in [one for one in REFUSED[error] if one in attempts.calls]:
        for number in _numbers(attempts.calls[call]):
            assert not attempts.attempt(f"{call}:error={error}:when={number}+")

    assert attempts.problems == []


# -- beside agents who go on -------------------------------------------------------------------------------------------


def locking(channel: Channel, root: str, name: str) -> None:
    """Locks and releases until it is told to end; nobody else may be in between."""
    board = Latchboard(root, publishes=False)
    me, inside, count = board.agent(name), Path(root, "inside"), 0
    channel.send(ready=True)
    while not count or not select.select([channel.sock], [], [], 0)[0]:
        with me.lock("src/shared.py", wait_s_max=30.0):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
        count += 1
    channel.receive()
    board.close()
    channel.send(count=count)


def test_repairs_beside_agents_who_lock_and_release_take_nothing_from_anybody(
    nursery: Nursery, memory_path: Path
) -> None:
    ward = Ward(memory_path, lambda name, value: None)
    ward.fill().close()
    agents = [nursery.start(locking, root=str(ward.root), name=f"agent-{number}") for number in range(3)]
    for agent in agents:
        agent.receive()
    board = ward.board()
    done: Counter[str] = Counter()
    for number in range(12):
        damaged = ward.store / "agents" / "stranger.json" if number % 2 else scenes.lock_file(ward)
        damaged.write_bytes(b"\0garbage")
        deeds = doctoring.mend(board, "fix", dry_run=False)
        done.update(one.what for one in deeds if one.is_done)

        assert [one.why_not for one in deeds if not one.is_done and one.why_not != "it was right by then"] == []
        assert not damaged.exists() or damaged.read_bytes() != b"\0garbage", number
        assert [one["agent"] for one in board.locks.check(["src/1.py"])] == ["planner"]
        assert not board.agent("builder").try_lock("src/1.py")

    counts = [agent.ask(over=True)["count"] for agent in agents]
    assert min(counts) > 0, counts
    assert [one for one in ward.look().findings if one.id not in ("F-112", "F-124")] == []
    assert len(done) >= 2
    ward.close()
