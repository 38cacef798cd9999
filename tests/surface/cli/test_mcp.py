"""mcp: what the command does before it serves; the server itself is tested in tests/surface/mcp."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import latchboard
from latchboard.surface.mcp.catalogue import TOOLS
from tests.surface.cli.harness import Cli


def test_the_command_lists_the_tools(cli: Cli) -> None:
    assert cli("mcp", "--tools", "--json").json["tools"] == [tool.to_json() for tool in TOOLS.values()]
    assert cli("mcp", "--tools").out.startswith("acquire          Lock files, all or none")


@pytest.mark.process
def test_without_the_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['mcp'] = None; from latchboard.surface.cli import main; sys.exit(main(['mcp']))"
    environment = {**os.environ, "PYTHONPATH": str(Path(latchboard.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'latchboard[mcp]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--http", "nonsense"), "is no HOST:PORT"),
        (("--http", "127.0.0.1:70000"), "is no HOST:PORT"),
        (("--http", "0.0.0.0:8000"), "whoever reaches it can take every lock"),
        (("--root", "nowhere"), "is no folder"),
        (("--agent", " planner"), "an agent id is 1 to 200"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is(cli: Cli, words: tuple[str, ...], says: str) -> None:
    outcome = cli("mcp", *words)

    assert (outcome.status, outcome.out) == (2, "")
    assert says in outcome.err
