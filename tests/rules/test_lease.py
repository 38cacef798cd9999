from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now, iso
from latchboard.errors import UsageError
from latchboard.rules import lease as leases

WALL_S = 1_795_225_200.0
BOOT = "boot-1"


def now(mono_s: float, *, wall_s: float | None = None, boot: str = BOOT) -> Now:
    return Now(WALL_S + mono_s if wall_s is None else wall_s, mono_s, boot)


def at(mono_s: float, **more: Any) -> leases.Moment:
    return leases.moment(now(mono_s, **more))


def renewed_at(*times: float, ttl_s: float = 3600.0, lease: leases.Lease | None = None) -> leases.Lease:
    for time in times:
        lease = leases.renewed(lease, now(time), ttl_s, agent="a", bound="agent", process={"pid": 1})
    assert lease is not None
    assert leases.check_lease(dict(lease)) == ""
    return lease


# -- ages -------------------------------------------------------------------------------------------------------------


def test_age_within_a_boot_is_monotonic() -> None:
    assert leases.age_s(at(100.0), now(160.0)) == 60.0


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_wall_clock_that_jumps_a_day_changes_no_age_within_a_boot__failure_3_10(jump_s: float) -> None:
    assert leases.age_s(at(100.0), now(160.0, wall_s=WALL_S + 160.0 + jump_s)) == 60.0


def test_machine_that_sleeps_ages_nobody__failure_3_11() -> None:
    asleep_s = 8 * 3600.0

    assert leases.age_s(at(100.0), now(101.0, wall_s=WALL_S + 101.0 + asleep_s)) == 1.0


def test_age_across_a_reboot_is_by_the_wall_clock() -> None:
    assert leases.age_s(at(100.0), Now(WALL_S + 400.0, 3.0, "boot-2")) == pytest.approx(300.0)


def test_age_across_a_reboot_is_never_below_zero() -> None:
    assert leases.age_s(at(100.0), Now(WALL_S - 86_400.0, 3.0, "boot-2")) == 0.0


def test_moment_whose_wall_time_cannot_be_read_has_age_zero_across_a_reboot() -> None:
    moment: leases.Moment = {"at": "yesterday", "mono_s": 0.0, "boot": "boot-0"}

    assert leases.age_s(moment, now(500.0)) == 0.0
    assert leases.seconds_between(moment, at(500.0)) > 1e9
    assert leases.seconds_between(at(500.0), moment) < -1e9


def test_seconds_between_two_moments_may_be_below_zero() -> None:
    assert leases.seconds_between(at(100.0), at(90.0)) == -10.0
    assert leases.seconds_between(at(5.0), at(1.0, wall_s=WALL_S + 65.0, boot="boot-2")) == pytest.approx(60.0)


# -- one hold ---------------------------------------------------------------------------------------------------------


def test_hold_lasts_its_lease_time_from_when_it_was_acquired() -> None:
    assert leases.remaining_s(at(0.0), 3600.0, None, now(600.0)) == 3000.0


@pytest.mark.parametrize(("mono_s", "is_over"), [(3599.999, False), (3600.0, True), (3600.001, True)])
def test_hold_is_over_at_the_limit_and_one_past_it(mono_s: float, is_over: bool) -> None:
    assert (leases.remaining_s(at(0.0), 3600.0, None, now(mono_s)) <= 0) is is_over


def test_hold_ends_its_lease_time_after_the_last_renewal() -> None:
    lease = renewed_at(3000.0, 6000.0)

    assert leases.remaining_s(at(0.0), 3600.0, lease, now(6000.0 + 3599.0)) == 1.0
    assert leases.remaining_s(at(0.0), 3600.0, lease, now(6000.0 + 3600.0)) == 0.0


def test_expired_hold_never_comes_back_by_a_later_renewal() -> None:
    lease = renewed_at(3600.5, 4000.0)

    assert leases.remaining_s(at(0.0), 3600.0, lease, now(4001.0)) <= 0


def test_renewal_in_the_instant_in_which_a_hold_ends_comes_too_late() -> None:
    first, again = renewed_at(3600.0), renewed_at(100.0, 3700.0)

    assert leases.remaining_s(at(0.0), 3600.0, first, now(3600.0)) <= 0
    assert leases.remaining_s(at(0.0), 3600.0, again, now(3700.0)) <= 0


def test_renewal_before_the_hold_was_acquired_shortens_nothing() -> None:
    lease = renewed_at(0.0)

    assert leases.remaining_s(at(50.0), 60.0, lease, now(60.0)) == 50.0


def test_hold_that_is_younger_than_a_pause_is_covered_after_it() -> None:
    lease = renewed_at(0.0, 5000.0, 6000.0)

    assert leases.remaining_s(at(4000.0), 3600.0, lease, now(9000.0)) == 600.0  # acquired in the pause, and renewed
    assert leases.remaining_s(at(0.0), 3600.0, lease, now(6000.0)) <= 0  # acquired before it: over since 3600


def test_one_renewal_covers_holds_of_any_lease_time() -> None:
    lease = renewed_at(10.0, 20.0, 30.0)

    assert leases.remaining_s(at(5.0), 12.0, lease, now(35.0)) == 7.0
    assert leases.remaining_s(at(5.0), 100.0, lease, now(35.0)) == 95.0
    assert leases.remaining_s(at(5.0), 10.0, lease, now(35.0)) <= 0  # pauses of 10 s are too long for it
    assert leases.remaining_s(at(25.0), 10.0, lease, now(35.0)) == 5.0


def test_lease_time_runs_from_the_renewal_that_covers_a_hold_else_from_its_own_beginning() -> None:
    lease = renewed_at(10.0, 20.0)

    assert leases.runs_from(at(5.0), 60.0, lease) == at(20.0)
    assert leases.runs_from(at(5.0), 4.0, lease) == at(5.0)
    assert leases.runs_from(at(25.0), 60.0, lease) == at(25.0)
    assert leases.runs_from(at(5.0), 60.0, None) == at(5.0)


def test_renewal_after_a_reboot_counts_when_the_pause_by_the_wall_clock_was_short() -> None:
    lease = renewed_at(100.0)
    rebooted = Now(WALL_S + 1000.0, 5.0, "boot-2")
    lease = leases.renewed(lease, rebooted, 3600.0, agent="a", bound="agent", process={"pid": 2})

    later = Now(WALL_S + 1000.0 + 86_400.0, 65.0, "boot-2")  # the wall clock jumps after it
    assert leases.remaining_s(at(0.0), 3600.0, lease, later) == 3540.0


def test_renewal_after_a_reboot_that_took_too_long_brings_nothing_back() -> None:
    lease = renewed_at(100.0)
    rebooted = Now(WALL_S + 100.0 + 3600.0, 5.0, "boot-2")
    lease = leases.renewed(lease, rebooted, 3600.0, agent="a", bound="agent", process={"pid": 2})

    assert leases.remaining_s(at(0.0), 3600.0, lease, rebooted) <= 0


# -- the lease itself -------------------------------------------------------------------------------------------------


def test_renewal_keeps_fields_it_does_not_know() -> None:
    lease: Any = {**renewed_at(0.0), "note": "kept"}

    assert renewed_at(5.0, lease=lease)["note"] == "kept"  # type: ignore[typeddict-item]


def test_lease_is_over_when_the_longest_lease_time_asked_for_has_passed() -> None:
    lease = renewed_at(0.0, ttl_s=7200.0)
    lease = renewed_at(60.0, ttl_s=10.0, lease=lease)

    assert not leases.is_over(lease, now(60.0 + 7199.0))
    assert leases.is_over(lease, now(60.0 + 7200.0))
    assert renewed_at(9000.0, ttl_s=10.0, lease=lease)["ttl_s"] == 10.0  # it was over: nothing needs the longer one


def test_renewals_at_one_instant_leave_one_chain() -> None:
    assert len(renewed_at(*[5.0] * 50)["chains"]) <= 2


def test_number_of_chains_is_bounded_and_what_is_left_out_covers_less_never_more() -> None:
    times = [0.0]
    for pause in range(100, 0, -1):  # ever shorter: the worst case
        times.append(times[-1] + pause)
    lease = renewed_at(*times)
    end = now(times[-1])

    assert len(lease["chains"]) == leases.CHAINS_COUNT_MAX
    for ttl_s in range(1, 120):
        for acquired in times[::7]:
            if leases.remaining_s(at(acquired), float(ttl_s), lease, end) > 0:
                assert _ends(acquired, float(ttl_s), times) > times[-1]


@given(
    st.lists(st.integers(0, 40), max_size=30).map(sorted),
    st.integers(0, 40),
    st.integers(1, 20),
    st.integers(0, 60),
)
def test_lease_agrees_with_telling_its_whole_story(times: list[int], acquired: int, ttl_s: int, late: int) -> None:
    renewals = [float(t) for t in times]
    lease = renewed_at(*renewals) if renewals else None
    asked_at = max([acquired, *times]) + late

    remaining = leases.remaining_s(at(float(acquired)), float(ttl_s), lease, now(float(asked_at)))

    assert max(remaining, 0.0) == max(0.0, _ends(float(acquired), float(ttl_s), renewals) - asked_at)


def test_random_renewals_leave_few_chains() -> None:
    dice = random.Random(5)
    time, times = 0.0, []
    for _ in range(2000):
        time += dice.uniform(60.0, 3000.0)
        times.append(time)

    assert len(renewed_at(*times)["chains"]) < 20


def _ends(acquired: float, ttl_s: float, renewals: list[float]) -> float:
    """When a hold ends, told renewal by renewal."""
    end = acquired + ttl_s
    for time in renewals:
        if acquired <= time < end:
            end = max(end, time + ttl_s)
    return end


# -- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, 5, [], {}, {"at": "x", "mono_s": 1.0}, {"at": "x", "boot": "b"}, {"at": 5, "mono_s": 1.0, "boot": "b"}]
    + [{"at": "x", "mono_s": m, "boot": "b"} for m in (True, "1", None, float("nan"), float("inf"), 10**400, -1e12)],
)
def test_what_is_no_moment_is_not_taken_for_one(value: Any) -> None:
    assert not leases.check_moment(value)


@pytest.mark.parametrize(
    "changed",
    [
        {"renewed": None},
        {"ttl_s": 0},
        {"ttl_s": "3600"},
        {"chains": None},
        {"chains": [5]},
        {"chains": [{"ttl_s": 1.0}]},
        {"chains": [{"ttl_s": -1.0, "since": at(0.0)}]},
        {"agent": 5},
        {"bound": "nobody"},
        {"process": "me"},
    ],
)
def test_lease_of_another_shape_is_malformed(changed: dict[str, Any]) -> None:
    assert leases.check_lease({**renewed_at(0.0), **changed})


@pytest.mark.parametrize("value", [True, 0, 0.0, -1, 1e12, 10**400, float("nan"), float("inf"), "1", None])
def test_what_is_no_lease_time_is_refused(value: Any) -> None:
    assert not leases.is_ttl(value)
    with pytest.raises(UsageError, match="lease time"):
        leases.check_ttl(value)


def test_lease_without_a_chain_covers_nothing() -> None:
    lease: Any = {**renewed_at(10.0), "chains": []}

    assert not leases.is_covered(at(5.0), 60.0, lease)
    assert leases.renewed(lease, now(20.0), 60.0, agent="a", bound="agent", process={})["chains"] == [
        {"ttl_s": 0.0, "since": at(20.0)}
    ]


def test_moment_is_for_people_and_for_ages() -> None:
    assert leases.moment(now(1.5)) == {"at": iso(WALL_S + 1.5), "mono_s": 1.5, "boot": BOOT}
