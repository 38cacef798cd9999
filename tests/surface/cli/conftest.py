"""Fixtures of the command line's tests."""

from __future__ import annotations

import compileall
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.surface.cli.harness import Cli
from tests.surface.cli.real import Real
from tests.tidy.tree import PACKAGE


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The package is compiled, as after the first run: else `init` does it in one of these tests, and says so there."""
    compileall.compile_dir(PACKAGE, quiet=2)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a fresh project, which is a git repository with two files."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / "src").mkdir()
    (project / "src" / "a.py").write_text("a\n", encoding="utf-8")
    (project / "src" / "b.py").write_text("b\n", encoding="utf-8")
    monkeypatch.chdir(project)
    return Cli(project)


@pytest.fixture
def real(tmp_path: Path) -> Generator[Real, None, None]:
    """The command line as processes, in a fresh project."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    runner = Real(project)
    runner("init", "--root", ".")
    yield runner
    runner.close()
