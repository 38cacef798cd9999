"""Processes of the tests in this folder: started by a warm nursery, ended with the test whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.nursery import Nursery


@pytest.fixture(scope="session")
def _nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def nursery(_nursery: Nursery) -> Iterator[Nursery]:
    """Starts processes that run a function of a test module and talk JSON with the test."""
    yield _nursery
    _nursery.clear()
