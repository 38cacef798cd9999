"""Hooks: what the process costs that a client runs before each edit, and what git's guard adds to a commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import goal, interleaved, summary
from latchboard import Latchboard
from latchboard.compose.setting_up import git_hooks

RATIO_MAX = 2.5
COMMIT_MS_MAX = 60
HELD_COUNT = 300
_GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "commit.gpgsign=false")


def edit(rounds: int) -> dict[str, Any]:
    """User and system time of a whole hook process, allowed and denied, beside a bare interpreter's."""
    hook = script("latchboard-hook")
    with project() as root:
        Latchboard(root, publishes=False).editing.begin("other", ["src/others.py"])
        events = {name: event(root, name) for name in ("mine", "others")}
        commands = {
            "python3 -I -S -c pass": ([sys.executable, "-I", "-S", "-c", "pass"], os.devnull),
            "hook, edit allowed": ([hook, "claude"], events["mine"]),
            "hook, edit denied": ([hook, "claude"], events["others"]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, (command, stdin) in commands.items():
                seconds[name].append(_cpu_s(command, root, stdin))
    bare, allowed, denied = (min(found) for found in seconds.values())
    return {
        "name": "a hook before an edit: CPU time of the whole process",
        "figures": {name: {**summary(found), "least_us": round(min(found) * 1e6)} for name, found in seconds.items()},
        "goals": [
            goal("an allowed edit against a bare interpreter, least of each", allowed / bare, RATIO_MAX),
            goal("a denied edit against a bare interpreter, least of each", denied / bare, RATIO_MAX),
        ],
    }


def commit(rounds: int) -> dict[str, Any]:
    """A commit with the guard over many held locks, beside one without it."""
    script("latchboard-git-hook")
    with project() as plain, project() as guarded:
        for root in (plain, guarded):
            other = Latchboard(root, publishes=False).agent("other")
            for number in range(HELD_COUNT):
                other.lock(f"src/f{number}.py", bound="agent")
        git_hooks(guarded).install()
        actions = {"without the guard": lambda: _commit(plain), "with the guard": lambda: _commit(guarded)}
        seconds = interleaved(actions, rounds=rounds, batch=1)
    without_s, with_s = (min(found) for found in seconds.values())
    return {
        "name": f"git commit, {HELD_COUNT} files held by another agent",
        "figures": {name: summary(found) for name, found in seconds.items()},
        "goals": [goal("added by the guard, ms, least of each", (with_s - without_s) * 1000, COMMIT_MS_MAX)],
    }


def script(name: str) -> str:
    """A command of this installation, without which there is nothing to measure."""
    path = shutil.which(name, path=os.path.dirname(sys.executable))
    if path is None:
        raise SystemExit(f"{name} is not installed beside {sys.executable}: make setup")
    return path


@contextmanager
def project() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.realpath(folder)
        os.mkdir(f"{root}/src")
        for name in ("mine", "others"):
            Path(root, "src", f"{name}.py").write_text("x = 1\n" * 100, encoding="utf-8")
        Path(root, ".gitignore").write_text("/data/\n", encoding="utf-8")
        for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "first")):
            subprocess.run([*_GIT, *words], cwd=root, check=True)
        yield root


def event(root: str, name: str) -> str:
    """A file with what Claude Code tells a hook before an edit; it lies where no board looks."""
    tool_input = {"file_path": f"{root}/src/{name}.py", "old_string": "x = 1", "new_string": "x = 2"}
    call = {"tool_name": "Edit", "tool_input": tool_input, "tool_use_id": "toolu_01"}
    path = f"{root}/.git/{name}.json"
    told = {"session_id": "bench", "cwd": root, "hook_event_name": "PreToolUse", **call}
    Path(path).write_text(json.dumps(told), encoding="utf-8")
    return path


def _cpu_s(command: list[str], root: str, stdin_path: str) -> float:
    with open(stdin_path, "rb") as stdin:
        process = subprocess.Popen(command, cwd=root, env=environment(), stdin=stdin, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise AssertionError(f"{command} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _commit(root: str) -> None:
    with open(f"{root}/src/mine.py", "a", encoding="utf-8") as file:
        file.write("x = 1\n")
    ours = {**environment(), "AGENT_ID": "bench"}
    subprocess.run([*_GIT, "commit", "--quiet", "-am", "more"], cwd=root, env=ours, check=True)


def environment() -> dict[str, str]:
    """Without what would keep an interpreter from its compiled files, and without an agent's own variables."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "AGENT_ID", "CLAUDE_PROJECT_DIR")
    return {name: value for name, value in os.environ.items() if name not in left_out}
