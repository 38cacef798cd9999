"""One etcd for all tests of a worker, and others for those that break them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.store.etcd.net import Net, NotAllowed
from tests.store.etcd.server import BINARY, Place


@pytest.fixture(scope="session")
def etcd(require_tool: Callable[[str], str]) -> Iterator[Place]:
    """One member that nobody harms; tests take prefixes of their own."""
    require_tool(BINARY)
    place = Place()
    yield place
    place.close()


@pytest.fixture
def cluster(require_tool: Callable[[str], str]) -> Iterator[Callable[..., Place]]:
    """`cluster(3)` starts one that the test may kill."""
    require_tool(BINARY)
    places: list[Place] = []

    def start(count: int = 1, *options: str, scheme: str = "http") -> Place:
        places.append(Place(count, *options, scheme=scheme))
        return places[-1]

    yield start
    for place in places:
        place.close()


@pytest.fixture
def net(require_tool: Callable[[str], str], require: Callable[[object, str], None]) -> Iterator[Net]:
    """Machines of the test's own, where this one lets us have networks."""
    require_tool("ip")
    require_tool("unshare")
    try:
        made = Net()
    except NotAllowed as exc:
        require(False, f"may not make networks: {exc}")
        raise
    with made:
        yield made
