"""Fixtures of the services' tests."""

from __future__ import annotations

import pytest

from latchboard.locks import engaged


@pytest.fixture(autouse=True)
def empty_hands() -> None:
    """No test has in hand what another one never gave back: each stands for processes of its own."""
    engaged._counts.clear()
