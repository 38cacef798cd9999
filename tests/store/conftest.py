"""The processes that these tests start."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.store.children import Child


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
