"""Where the stores of these tests live, and the processes they start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.children import Child

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


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[Child], object]], Child]]:
    """`start(run)` forks a process that runs `run(child)`; all of them end with the test."""
    children: list[Child] = []

    def start(run: Callable[[Child], object]) -> Child:
        children.append(Child(run))
        return children[-1]

    yield start
    for child in children:
        child.end()
