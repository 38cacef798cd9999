"""K43: SIGKILL at every system call of every operation: files parse, nothing blocks, nothing is half-done.

The system calls of an operation are listed once; then, for each name and each number, a process of its own does the
same operation and is killed just before that call. Another process looks at what is left.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.process.nursery import Nursery
from tests.process.operation import OPERATIONS
from tests.process.scene import Scene
from tests.process.trace import SPARED, numbers

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.needs_tool("strace")]

NAMES = [name for name, operation in OPERATIONS.items() if operation.is_main or SOAK]
KILLS_MIN = 5
"""Fewer system calls than any operation makes: a sweep that kills less often does not do what it says."""


class Sweep:
    """All attempts of one operation."""

    def __init__(self, name: str, nursery: Nursery, folder: Path) -> None:
        self._operation = OPERATIONS[name]
        self._nursery = nursery
        self._folder = folder
        self.calls: Counter[str] = Counter()
        self.killed_count = 0
        self.problems: list[str] = []

    def attempt(self, *injections: str) -> bool:
        """One run; whether the victim was killed before its operation had ended."""
        with Scene(self._operation, self._nursery, self._folder) as scene:
            answer = scene.run(*injections)
            was_killed = answer is None
            scene.victim.kill()
            scene.victim.wait()
            assert scene.trace is not None
            self.calls = self.calls or Counter(name for name, _ in scene.trace.calls())
            commits = scene.commits()
            found = self._operation.check(scene.root, commits, answer)
            found += scene.problems(free=self._operation.free)
            if self._operation.commits and not commits and not was_killed:
                found.append("it ended well and committed nothing")
            where = " ".join(injections) or "not killed"
            self.problems += [f"{where}: {problem}\n    after {scene.trace.last_calls()}" for problem in found]
        self.killed_count += was_killed
        return was_killed

    def run(self) -> None:
        """Kill at every call by name and number."""
        assert not self.attempt()
        for call, count in sorted((call, count) for call, count in self.calls.items() if call not in SPARED):
            for number in numbers(count):
                if not self.attempt(f"{call}:signal=KILL:when={number}"):
                    break


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_any_system_call_leaves_all_or_nothing(name: str, nursery: Nursery, memory_path: Path) -> None:
    sweep = Sweep(name, nursery, memory_path)

    sweep.run()

    print(f"{name}: killed at {sweep.killed_count} system calls")
    if sweep.problems:
        pytest.fail(f"{len(sweep.problems)} problems\n" + "\n".join(sweep.problems), pytrace=False)
    assert sweep.killed_count >= KILLS_MIN
