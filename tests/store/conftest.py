"""Where the stores of these tests live."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = "/dev/shm"


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: for tests that make hundreds of stores."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    path = tempfile.mkdtemp(prefix="latchboard-", dir=_MEMORY)
    yield Path(path)
    shutil.rmtree(path)
