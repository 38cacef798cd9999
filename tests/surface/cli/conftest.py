"""Fixtures of the command line's tests."""

from __future__ import annotations

import compileall
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running(folder: Path, *, is_started: bool = False) -> Iterator[Real]:
    """The command line as processes, in a fresh project."""
    project = folder / "project"
    (project / "src").mkdir(parents=True)
    runner = Real(project, is_started=is_started)
    runner("init", "--root", ".")
    try:
        yield runner
    finally:
        runner.close()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    with running(tmp_path) as runner:
        yield runner
