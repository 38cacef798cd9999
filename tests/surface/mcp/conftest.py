"""Fixtures of the MCP server's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.compose import Latchboard
from tests.surface.mcp.harness import warm


@pytest.fixture(scope="session", autouse=True)
def _warm() -> Iterator[None]:
    yield
    warm.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh project with a store."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "data").mkdir()
    return folder


@pytest.fixture
def anyio_backend() -> str:
    """What runs asynchronous tests."""
    return "asyncio"


@pytest.fixture
def board(project: Path) -> Iterator[Latchboard]:
    """The project's services in this process, which is another one than every server's."""
    made = Latchboard(project, publishes=False)
    made.agent("somebody").lock("once").release()  # now there is a store
    yield made
    made.close()
