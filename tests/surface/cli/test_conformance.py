"""The Python implementation passes the black-box suite of the protocol.

Of its 800 commands `make test` forks all but those that are known by their command line (tests/forked.py); in the soak
each is a process of its own.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.surface.cli.harness import ROOT

SUITE = ROOT / "protocol" / "conformance"
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""The suite needs none of the plugins that happen to be there: they cost every start a second."""
PARTS = sorted(path.name for path in SUITE.glob("test_*.py"))


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_implementation_conforms(part: str, memory_path: Path) -> None:
    command = shlex.join([sys.executable, "-m", "latchboard"])
    environment = {**os.environ, **BARE, "LATCHBOARD_CLI": command, "LATCHBOARD_CLI_WAIT_S": "60"}
    words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull, f"--rootdir={SUITE}"]
    words += [f"--basetemp={memory_path / 'base'}", "-p", "tests.surface.cli.forking"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, str(SUITE / part)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.process
def test_suite_without_a_command_says_what_to_set() -> None:
    environment = {**{name: value for name, value in os.environ.items() if name != "LATCHBOARD_CLI"}, **BARE}
    words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull, f"--rootdir={SUITE}", "-x"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, str(SUITE / "test_mailbox.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "set LATCHBOARD_CLI to the command under test" in done.stdout
