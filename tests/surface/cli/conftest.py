"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surface.cli.harness import Cli


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
