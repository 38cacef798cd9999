"""The services' tests on another engine: `ENGINE_FOR_TESTS=etcd pytest tests/services` has etcd where memory was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from latchboard.store import memory

if TYPE_CHECKING:
    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from tests.store.etcd.server import Place

IS_ETCD = os.environ.get("ENGINE_FOR_TESTS") == "etcd"
needs_large_commits = pytest.mark.skipif(
    IS_ETCD, reason="not applicable: about commits of hundreds of records, which etcd does not take"
)
looks_inside = pytest.mark.skipif(
    IS_ETCD, reason="not applicable: looks into the memory store, counts what it does, or interrupts it"
)
_places: list[Place] = []


def choose() -> None:
    """Have the test modules, which are imported later, find the engine that was asked for."""
    if not IS_ETCD:
        return
    from latchboard.store.etcd.store import EtcdStore
    from tests.store.etcd.server import Place

    class InsteadOfMemory(EtcdStore):
        """A store on a new prefix, or on that of another. All processes are of one machine: there is no presence."""

        present = None  # type: ignore[assignment]

        def __init__(
            self,
            *,
            clock: Clock,
            settings: Settings | None = None,
            beside: EtcdStore | None = None,
            commits_kept_count: int = 0,
            keys_max: int = 0,
        ) -> None:
            if not _places:
                _places.append(Place())
            access = beside.access if beside is not None else _places[0].access()
            super().__init__(access, clock=clock, settings=settings)

    module: Any = memory
    module.MemoryStore = InsteadOfMemory


def end() -> None:
    """Stop the server, if there is one."""
    while _places:
        _places.pop().close()
