"""Fixtures of the git guard's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surface.git.scene import Scene


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guard's modules are compiled to, once in a session."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def bare_scene(tmp_path: Path, bytecode: Path) -> Scene:
    """Nothing but a git and a guard."""
    return Scene(tmp_path, bytecode)


@pytest.fixture
def scene(bare_scene: Scene) -> Scene:
    """A repository with two files, a board and the hooks."""
    return bare_scene.make()
