from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.workqueue.support import Bench, bench_on


@pytest.fixture(params=["memory", "files"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(request.param, str(tmp_path)) as made:
        yield made
