"""Processes and projects of the tests in this folder: ended with the test whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.nursery import Nursery
from tests.process.serving import Project
from tests.process.ward import Ward


@pytest.fixture(scope="session")
def _nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def nursery(_nursery: Nursery) -> Iterator[Nursery]:
    """Starts processes that run a function of a test module and talk JSON with the test."""
    yield _nursery
    _nursery.clear()


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """A project for the doctor, with damage of every kind to be had."""
    made = Ward(tmp_path, monkeypatch.setenv)
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a daemon to be had."""
    made = Project(tmp_path)
    yield made
    made.close()
