"""The official inspector's command line, another implementation of the protocol, as a client of the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.surface.mcp.harness import SOURCES

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.needs_tool("node", "npm"),
    pytest.mark.timeout(600),  # what is fetched comes from elsewhere, once
]

PACKAGE = "@modelcontextprotocol/inspector"
VERSION = "2.12.0"
INSTALL_S_MAX = 300.0
RUN_S_MAX = 200.0
"""It loads for a quarter of a minute where others run beside it."""

Inspect = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="session")
def inspector(tmp_path_factory: pytest.TempPathFactory, require: Callable[[object, str], None]) -> list[str]:
    """The command; fetched from the registry of npm, once in a session."""
    folder = tmp_path_factory.mktemp("inspector")
    command = ["npm", "install", "--prefix", str(folder), "--no-fund", "--no-audit", "--no-save", "--ignore-scripts"]
    command += ["--prefer-offline", "--fetch-retries", "5"]  # a registry that says no once may not do so again
    try:
        done = subprocess.run(
            [*command, f"{PACKAGE}@{VERSION}"], capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
        )
        why = done.stderr[-500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        why = "no answer in time"
    require(not why, f"npm cannot fetch {PACKAGE}@{VERSION}: {why}")
    home = folder / "node_modules" / PACKAGE
    bins = json.loads((home / "package.json").read_text())["bin"]
    command = ["node", str(home / bins["mcp-inspector"]), "--cli"]
    tried = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    require(tried.returncode == 0, f"this node cannot run {PACKAGE}@{VERSION}: {tried.stderr[-500:]}")
    return command


@pytest.fixture
def inspect(inspector: list[str], project: Path, tmp_path: Path) -> Inspect:
    """`inspect("tools/list", ...)`: exit status, what it printed as JSON, and its standard error."""
    # The inspector hands no variables on to the server.
    server = ["env", f"PYTHONPATH={SOURCES}", sys.executable, "-m", "latchboard", "mcp", "--root", str(project)]

    def run(method: str, *words: str) -> tuple[int, Any, str]:
        environment = {**os.environ, "HOME": str(tmp_path)}
        command = [*inspector, *server, "--method", method, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False, env=environment)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


def test_it_lists_the_tools_and_finds_their_schemas_portable(inspect: Inspect) -> None:
    status, listed, err = inspect("tools/list", "--strict")

    assert status == 0, err
    assert [tool["name"] for tool in listed["tools"]][:3] == ["acquire", "wait", "release"]


def test_it_takes_a_lock_and_is_told_who_has_it(inspect: Inspect) -> None:
    acquire = ("--tool-name", "acquire", "--tool-arg", 'paths=["src/a.py"]')
    status, taken, err = inspect("tools/call", *acquire, "agent=planner")
    assert status == 0, err
    assert taken["structuredContent"]["locks"][0]["name"] == "src/a.py"

    _, refused, _ = inspect("tools/call", *acquire, "agent=builder")
    assert refused["isError"] is True
    assert refused["structuredContent"]["holders"][0]["agent"] == "planner"


def test_it_reads_the_board(inspect: Inspect) -> None:
    status, listed, err = inspect("resources/list")
    assert status == 0, err
    assert [one["uri"] for one in listed["resources"]] == ["latchboard://board", "latchboard://history"]

    status, read, err = inspect("resources/read", "--uri", "latchboard://board")
    assert status == 0, err
    assert json.loads(read["contents"][0]["text"])["active_locks"] == []
