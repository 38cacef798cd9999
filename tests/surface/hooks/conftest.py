"""Fixtures of the hooks' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surface.hooks.hooked import Hooked


@pytest.fixture
def hooked(tmp_path: Path) -> Hooked:
    root = tmp_path / "app"
    root.mkdir()
    return Hooked(root)
