from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from latchboard.compose import Latchboard
from tests.surface.web.harness import Served


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Latchboard]:
    made = Latchboard(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(board: Latchboard) -> Iterator[Served]:
    running = Served(board)
    yield running
    running.close()
