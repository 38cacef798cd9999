"""A store that began with a copy, whose revisions have a base, keeps every promise of the port as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latchboard.store.etcd.access import Access
from latchboard.store.etcd.store import EtcdStore
from latchboard.testing import ManualClock
from tests.store.etcd import test_suite

if TYPE_CHECKING:
    from pathlib import Path

    from latchboard.clock import Clock
    from latchboard.store.port import Store

BASE = 1_800_000_000_000_000


@pytest.mark.soak
class TestCopiedStore(test_suite.TestEtcdStore):
    def access(self, place: Path) -> Access:
        access = super().access(place)
        made = self.__dict__.setdefault("made", set())
        if access.prefix not in made:
            made.add(access.prefix)
            store = EtcdStore(access, clock=ManualClock())
            filling = store.filling()
            filling.begin(BASE, "nowhere")
            filling.finish()
            store.close()
        return access

    def open_forgetful_pair(self, place: Path, clock: Clock) -> tuple[Store, Store]:
        first, second = super().open_forgetful_pair(place, clock)
        first.base = BASE  # type: ignore[attr-defined]  # it is the Forgetful one
        return first, second

    # These begin with a store to which nobody has committed, and whose revision is 0.
    test_revision_of_a_new_store_is_zero = None
    test_name_of_an_agent_that_cannot_be_written_is_refused = None
    test_empty_store_has_nothing = None
    test_before_the_first_commit_there_was_nothing = None
