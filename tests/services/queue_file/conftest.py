from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.store.files.store import FileStore
from latchboard.store.memory import MemoryStore
from latchboard.testing import ManualClock
from tests.services.queue_file.support import Desk
from tests.services.workqueue.support import SETTINGS, Bench


@pytest.fixture(params=["memory", "files"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    clock = ManualClock()
    store: Any
    if request.param == "memory":
        store = MemoryStore(clock=clock, settings=SETTINGS)
    else:
        store = FileStore(str(tmp_path), clock=clock, settings=SETTINGS)
    bench = Bench(store, clock, str(tmp_path))
    yield Desk(bench, tmp_path)
    assert bench.problems() == []
    store.close()
