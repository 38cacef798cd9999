"""The memory store keeps every promise of the port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.store.memory import MemoryStore
from latchboard.testing.suite import StoreSuite

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import Clock
    from latchboard.settings import Settings
    from latchboard.store.port import Store


class TestMemoryStore(StoreSuite):
    def open_pair(self, place: Path, clock: Clock, settings: Settings) -> tuple[Store, Store]:
        first = MemoryStore(clock=clock, settings=settings)
        return first, MemoryStore(clock=clock, settings=settings, beside=first)

    def open_forgetful_pair(self, place: Path, clock: Clock) -> tuple[Store, Store]:
        first = MemoryStore(clock=clock, commits_kept_count=300)
        return first, MemoryStore(clock=clock, beside=first)
