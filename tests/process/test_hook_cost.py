"""What a hook costs: a client runs one in front of every call, so that it may load and burn next to nothing.

The command is installed as an installer does it: a folder of its own with an interpreter, the package with its compiled
files, and the script that the entry point in pyproject.toml asks for.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from latchboard import Latchboard
from tests.tidy.tree import PACKAGE, ROOT

pytestmark = pytest.mark.process

RATIO_MAX = 2.5
ROUNDS_MIN, ROUNDS_MAX = 20, 400
SCRIPT = """#!{python}
# -*- coding: utf-8 -*-
import sys
from {module} import {function}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({function}())
"""

# What may be loaded for an edit, besides what an interpreter loads to run an empty program. A module that is missing
# here has to say what it is worth: each costs 0.1 ms.
STANDARD = {"__future__", "gc", "errno", "itertools", "_functools", "_json", "_sha256", "_sha2", "binascii", "fcntl"}
_OURS = """
latchboard: clock codec compose editing errors host locks rules settings store surface
latchboard.editing: calls images own service
latchboard.host: configuration identity kept root system tree
latchboard.locks: engaged hold notices records renewing service table
latchboard.rules: agent foreign holding image lease lock pattern
latchboard.store: checks files port
latchboard.store.files: commit folder guard journal layout records spare store trouble view
latchboard.surface: hooks
latchboard.surface.hooks: claude entry event finder handling payload project
"""
OURS = {"latchboard"}
for _line in _OURS.strip().splitlines():
    _folder, _, _names = _line.partition(": ")
    OURS |= {f"{_folder}.{_name}" for _name in _names.split()}
OURS_WHEN_DENIED = OURS | {"latchboard.surface.hooks.denial"}


class Installed:
    """A project, and the command that its agents' client runs."""

    def __init__(self, folder: Path) -> None:
        environment = folder / "env"
        venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
        self.python = environment / "bin/python"
        site = next(environment.glob("lib/python*/site-packages"))
        shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(site, quiet=2)
        self.command = environment / "bin/latchboard-hook"
        scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
        module, _, function = scripts["latchboard-hook"].partition(":")
        self.command.write_text(SCRIPT.format(python=self.python, module=module, function=function), encoding="utf-8")
        self.command.chmod(0o755)
        self.root = folder / "app"
        (self.root / ".git").mkdir(parents=True)
        (self.root / "src").mkdir()
        for name in ("mine.py", "others.py"):
            (self.root / "src" / name).write_text("x = 1\n" * 100, encoding="utf-8")
        Latchboard(self.root, publishes=False).editing.begin("other", ["src/others.py"])

    def event(self, name: str) -> Path:
        """A file with the event of an edit of a file."""
        path = self.root.parent / f"{name}.json"
        tool_input = {"file_path": f"{self.root}/src/{name}.py", "old_string": "x = 1", "new_string": "x = 2"}
        call = {"tool_name": "Edit", "tool_input": tool_input, "tool_use_id": "toolu_01"}
        event = {"session_id": "s1", "cwd": str(self.root), "hook_event_name": "PreToolUse", **call}
        path.write_text(json.dumps(event), encoding="utf-8")
        return path

    def cpu_s(self, *command: str | Path, event: Path | None = None) -> float:
        """User and system time of a whole process that did what it should, in seconds."""
        with open(event or os.devnull, "rb") as stdin:
            process = subprocess.Popen(
                command, env=clean(), cwd=self.root, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    def loaded(self, *command: str | Path, event: Path | None = None) -> set[str]:
        """The modules that a process loads."""
        with open(event or os.devnull, "rb") as stdin:
            environ = {**clean(), "PYTHONPROFILEIMPORTTIME": "1"}
            done = subprocess.run(command, check=True, env=environ, cwd=self.root, stdin=stdin, capture_output=True)
        return {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}


def clean() -> dict[str, str]:
    """The environment without what steers an interpreter."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "AGENT_ID"))}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("hook"))


@pytest.mark.parametrize(("name", "ours"), [("mine", OURS), ("others", OURS_WHEN_DENIED)], ids=["allowed", "denied"])
def test_an_edit_loads_what_it_needs_and_nothing_else(installed: Installed, name: str, ours: set[str]) -> None:
    event = installed.event(name)
    installed.loaded(installed.command, "claude", event=event)  # the first one may have found something to settle

    loaded = installed.loaded(installed.command, "claude", event=event)

    bare = installed.loaded(installed.python, "-c", "pass")
    assert loaded - bare - STANDARD - ours == set()
    assert ours - loaded - bare == set()


@pytest.mark.parametrize("name", ["mine", "others"], ids=["allowed", "denied"])
def test_an_edit_costs_two_and_a_half_bare_interpreters_at_most(installed: Installed, name: str) -> None:
    event = installed.event(name)
    hook = [str(installed.command), "claude"]
    bare = [str(installed.python), "-I", "-S", "-c", "pass"]
    installed.cpu_s(*hook, event=event)
    bare_s, hook_s = [], []

    for number in range(ROUNDS_MAX):
        bare_s.append(installed.cpu_s(*bare))
        hook_s.append(installed.cpu_s(*hook, event=event))
        if number + 1 >= ROUNDS_MIN and min(hook_s) <= RATIO_MAX * min(bare_s):
            break

    ratio = min(hook_s) / min(bare_s)
    said = f"{min(hook_s) * 1000:.1f} ms, a bare interpreter {min(bare_s) * 1000:.1f} ms: {ratio:.2f} times"
    print(f"{name}: {said}, over {len(hook_s)} rounds")
    assert ratio <= RATIO_MAX, said


def test_the_answers_are_the_right_ones(installed: Installed) -> None:
    outs = []
    for name in ("mine", "others"):
        with installed.event(name).open("rb") as stdin:
            command = [installed.command, "claude"]
            outs.append(subprocess.run(command, check=True, env=clean(), stdin=stdin, capture_output=True).stdout)

    assert outs[0] == b""
    assert b'"permissionDecision":"deny"' in outs[1]


def test_a_source_that_was_changed_is_not_run_as_it_was(installed: Installed, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / PACKAGE.name)
    compileall.compile_dir(copy, quiet=2)
    source = copy / "latchboard/surface/hooks/entry.py"
    source.write_text(source.read_text(encoding="utf-8").replace("usage: latchboard-hook", "Usage: latchboard-hook"))

    command = [sys.executable, "-m", "latchboard.surface.hooks", "--help"]
    done = subprocess.run(command, check=True, env={**clean(), "PYTHONPATH": str(copy)}, capture_output=True, text=True)

    assert done.stdout.startswith("Usage: ")


def test_without_compiled_files_it_works_as_well(installed: Installed, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    environ = {**clean(), "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}

    with installed.event("others").open("rb") as stdin:
        command = [sys.executable, "-m", "latchboard.surface.hooks", "claude"]
        done = subprocess.run(command, check=True, env=environ, stdin=stdin, capture_output=True)

    assert b'"permissionDecision":"deny"' in done.stdout
    assert list(copy.rglob("__pycache__")) == []
