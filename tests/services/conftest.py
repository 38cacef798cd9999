"""Fixtures of the services' tests, and the engine that they run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from latchboard.locks import engaged
from tests.services import engine

engine.choose()


@pytest.fixture(scope="session", autouse=True)
def _engine() -> Iterator[None]:
    yield
    engine.end()


@pytest.fixture(autouse=True)
def empty_hands() -> None:
    """No test has in hand what another one never gave back: each stands for processes of its own."""
    engaged._counts.clear()
