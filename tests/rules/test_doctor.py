from __future__ import annotations

import pytest

from latchboard.rules import doctor as rules

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("free", "total", "expect"),
    [
        (300 * MIB, 10_000 * MIB, ""),
        (rules.LITTLE_BYTES, 10_000 * MIB, ""),
        (rules.LITTLE_BYTES - 1, 10_000 * MIB, "F-109"),
        (rules.NONE_BYTES, 10_000 * MIB, "F-109"),
        (rules.NONE_BYTES - 1, 10_000 * MIB, "F-110"),
        (0, 10_000 * MIB, "F-110"),
        (11 * MIB, 100 * MIB, ""),
        (9 * MIB, 100 * MIB, "F-110"),
        (50 * MIB, 600 * MIB, "F-109"),
        (0, 0, ""),
        (1, 5, ""),
        (0, 5, "F-110"),
    ],
)
def test_space_is_enough_little_or_none(free: int, total: int, expect: str) -> None:
    assert rules.space(free, total, little=rules.LITTLE_BYTES, none=rules.NONE_BYTES) == expect


@pytest.mark.parametrize(
    ("wall_s", "last_s", "expect"),
    [
        (1_800_000_000.0, None, ""),
        (1_800_000_000.0, 1_799_999_999.0, ""),
        (1_800_000_000.0, 1_800_000_002.0, ""),
        (1_800_000_000.0, 1_800_000_002.1, "back"),
        (rules.WALL_S_MIN - 1, None, "early"),
        (0.0, 1_800_000_000.0, "early"),
    ],
)
def test_a_clock_that_cannot_be_right_is_seen(wall_s: float, last_s: float | None, expect: str) -> None:
    assert rules.clock_is_wrong(wall_s, last_s) == expect


@pytest.mark.parametrize(
    ("mode", "is_shared", "expect"),
    [
        (0o700, False, False),
        (0o750, False, True),
        (0o701, False, True),
        (0o2770, True, False),
        (0o2775, True, True),
        (0o2772, True, True),
    ],
)
def test_a_folder_is_open_to_its_users_alone(mode: int, is_shared: bool, expect: bool) -> None:
    assert rules.is_too_open(mode, is_shared=is_shared) is expect


@pytest.mark.parametrize(
    ("written", "here", "expect"),
    [("alpha", "alpha", False), ("alpha", "beta", True), ("", "beta", False), ("alpha", "", False)],
)
def test_another_host_is_one_that_is_named(written: str, here: str, expect: bool) -> None:
    assert rules.is_other_host(written, here) is expect
