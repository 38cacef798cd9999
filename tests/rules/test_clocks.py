"""What commits say of their machines' clocks: nothing that could be anything else."""

from __future__ import annotations

import pytest

from latchboard.rules.clocks import AHEAD_S, BEHIND_S, Clocks

NOW_S = 1_795_225_200.0


def fault(*commits: tuple[str, float], now_s: float = NOW_S) -> str:
    """Of commits, each said to be made so many seconds before (or after) now."""
    clocks = Clocks()
    for revision, (who, s) in enumerate(commits, 1):
        clocks.note(revision, who, NOW_S + s)
    return clocks.fault(now_s)


def test_clocks_that_are_together_have_no_fault() -> None:
    assert fault() == ""
    assert fault(("a", -10), ("b", -12), ("a", -9), ("b", AHEAD_S)) == ""


@pytest.mark.parametrize("ahead_s", [30.0, 600.0])
def test_a_commit_that_is_made_later_than_now(ahead_s: float) -> None:
    assert fault(("a", -10), ("b", ahead_s), ("a", -5)).startswith(
        "the clock of b is ahead of this machine's: commit 2"
    )
    assert f"in {ahead_s:.0f} s from now" in fault(("b", ahead_s))


@pytest.mark.parametrize("apart_s", [BEHIND_S + 1, 600.0])
def test_commits_that_say_to_be_long_before_what_was_there_before_them(apart_s: float) -> None:
    told = fault(("a", -9), ("b", -9 - apart_s), ("b", -9 - apart_s), ("a", -5), ("b", -5 - apart_s))

    assert told.startswith("the clocks of b and a are apart: commit 5")
    assert f"{apart_s:.0f} s before 4" in told


def test_one_that_was_late_and_whatever_a_call_may_take_is_no_fault_of_a_clock() -> None:
    late = [("a", 0.0), ("b", -600.0), ("a", 0.0), ("b", -600.0)]
    assert fault(*late, ("c", -600.0)) == ""
    assert fault(*late, ("b", -600.0)) != ""
    assert fault(("a", 0.0), *[("b", -BEHIND_S)] * 5) == ""


def test_clocks_that_were_apart_are_not_told_for_ever() -> None:
    behind = [("a", 0.0), *[("b", -600.0)] * 3]
    assert fault(*behind, now_s=NOW_S + 3600)
    assert not fault(*behind, now_s=NOW_S + 3601)
