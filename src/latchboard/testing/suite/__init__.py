"""Store suite: every promise of the store port as tests that any backend can join.

A backend joins with a class that pytest collects:

    class TestMemoryStore(StoreSuite):
        def open_pair(self, place, clock, settings):
            first = MemoryStore(clock=clock, settings=settings)
            return first, MemoryStore(clock=clock, settings=settings, beside=first)

See `Backend` for what else it can say about itself. Needs pytest and hypothesis. A promise that a backend cannot be
asked about is skipped with a reason that begins with "not applicable: ".

Protocol: protocol/store.md.
"""

from __future__ import annotations

from latchboard.testing.suite import kit as kit  # first: it has the asserts of the others explained when they fail
from latchboard.testing.suite.commits import Commits
from latchboard.testing.suite.pasts import Pasts
from latchboard.testing.suite.snapshots import Snapshots
from latchboard.testing.suite.values import Values
from latchboard.testing.suite.watches import Watches

__all__ = ["StoreSuite"]


class StoreSuite(Commits, Pasts, Snapshots, Values, Watches):
    """Every promise of the store port."""
