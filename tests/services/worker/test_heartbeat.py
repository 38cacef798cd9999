"""A heartbeat whose clock is the test's: when it renews a claim, and from which instant on the claim is lost."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.clock import Now, SystemClock
from latchboard.store.wrap import FAIL_BEFORE
from latchboard.worker.heartbeat import Heartbeat
from tests.services.worker.support import NAME, Site


class Scripted(SystemClock):
    """Each wait takes exactly its time, and none of anybody's."""

    mono_s = 0.0

    def now(self) -> Now:
        return Now(self.mono_s, self.mono_s, "boot")

    def wait(self, readables: Any, timeout_s: float | None) -> bool:
        self.mono_s += timeout_s or 0.0
        return False


@pytest.fixture
def site(tmp_path: Any) -> Site:
    return Site(str(tmp_path))


def beaten(site: Site, ttl_s: float) -> tuple[str, float]:
    """Why a claim is lost, and when, seconds."""
    site.add("a")
    clock, lease = Scripted(), site.queue.claim("builder", NAME, ttl_s=ttl_s)["lease"]
    with Heartbeat(site.queue, lease, site.ports(clock)) as heartbeat:
        heartbeat._thread.join()
    return heartbeat.lost, clock.mono_s


@pytest.mark.parametrize("renewals", [0, 4])
def test_a_claim_counts_as_lost_when_its_lease_is_over_and_not_a_try_later(site: Site, renewals: int) -> None:
    """Somebody else may have it from that instant on."""
    renew, tries = site.queue.renew, []

    def renewing(job: str, token: int) -> Any:
        tries.append(job)
        site.faults = [] if len(tries) <= renewals else [FAIL_BEFORE]
        return renew(job, token)

    site.queue.renew = renewing  # type: ignore[assignment, method-assign]

    lost, at_s = beaten(site, ttl_s=30)

    assert "for 30 s" in lost
    assert at_s == pytest.approx(10 * renewals + 30)


def test_a_mistake_of_ours_leaves_no_command_without_a_lease(site: Site) -> None:
    def renewing(job: str, token: int) -> Any:
        raise RuntimeError("a mistake of ours")

    site.queue.renew = renewing  # type: ignore[assignment, method-assign]

    assert beaten(site, ttl_s=30) == ("RuntimeError: a mistake of ours", 10.0)
