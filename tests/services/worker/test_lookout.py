"""A worker's lookout: what it may have missed counts as changed, once; and how long a wait may be."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.errors import StoreUnavailable
from latchboard.worker.lookout import Lookout
from tests.services.worker.support import SETTINGS, Site
from tests.services.worker.test_heartbeat import Scripted


class Breaking:
    """A watch that cannot look any more."""

    mode = "push"
    is_closed = False

    def fileno(self) -> int:
        return 0

    def poll(self) -> Any:
        raise StoreUnavailable("it cannot be read", path="x", errno=5)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def site(tmp_path: Any) -> Site:
    return Site(str(tmp_path))


def test_what_cannot_be_seen_counts_as_changed_and_the_next_look_begins_anew(site: Site) -> None:
    broken, watch = Breaking(), site.store.watch
    site.store.watch = lambda prefix, *, after: broken  # type: ignore[method-assign]
    lookout = Lookout(site.store, SETTINGS)
    assert lookout.seen(lambda _: False)
    assert (broken.is_closed, lookout.readables()) == (True, [])
    site.store.watch = watch  # type: ignore[method-assign]

    looks = [lookout.seen(lambda _: False) for _ in range(3)]
    site.add("a")

    assert looks == [True, False, False], "the first of them does not know what was before it"
    assert lookout.seen(lambda change: change.key == "jobs/a")
    lookout.close()


def test_a_wait_is_no_longer_than_a_manager_waits_for_a_sign_of_life(site: Site) -> None:
    clock = Scripted()
    site.manager.watchdog_s = 10.0
    ports = site.ports(clock)

    ports.wait([], until_s=1000.0)
    ports.wait([], until_s=1000.0)

    assert (clock.mono_s, site.manager.told) == (10.0, ["WATCHDOG=1"])
