from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.mailbox import Mailbox
from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import FakeHost, ManualClock
from tests.services.mailbox.support import SETTINGS, Counted


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Iterator[Any]:
    made: Any
    if request.param == "memory":
        made = MemoryStore(clock=clock, settings=SETTINGS)
    else:
        made = FileStore(str(tmp_path), clock=clock, settings=SETTINGS)
    yield made
    made.close()


@pytest.fixture
def counted(store: Any) -> Counted:
    return Counted(store)


@pytest.fixture
def mail(counted: Counted, clock: ManualClock) -> Mailbox:
    return Mailbox(counted, clock, FakeHost(), SETTINGS)
