"""Three clocks: what they promise, and text that is or is not a time."""

from __future__ import annotations

import datetime
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latchboard import clock as clock_module
from latchboard.clock import Now, SystemClock, boot_id, iso, parse_iso
from latchboard.testing import ManualClock

UTC = datetime.UTC
FIRST = datetime.datetime.fromisoformat("0001-01-02T00:00:00")
LAST = datetime.datetime.fromisoformat("9999-12-30T00:00:00")
SOME_TIME_S = 1_795_222_800.123456
SOME_TIME = "2026-11-21T01:00:00.123456Z"


class Pipe:
    """A pair of descriptors of which the reading one can be waited for."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.reader

    def ring(self) -> None:
        os.write(self.writer, b"x")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    os.close(made.writer)


def test_now_reads_all_three_clocks() -> None:
    first, second = SystemClock().now(), SystemClock().now()

    assert second.mono_s >= first.mono_s
    assert abs(first.wall_s - datetime.datetime.now(UTC).timestamp()) < 60
    assert first.boot == second.boot == boot_id() != ""


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/random/boot_id"), reason="not applicable: no boot id in /proc")
def test_boot_is_that_of_the_kernel() -> None:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert boot_id() == file.read().strip()


def test_without_boot_id_the_stand_in_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    monkeypatch.setattr(clock_module, "_boot_session_of_darwin", lambda: "")

    found = clock_module._read_boot_id()

    assert found.startswith(clock_module.STAND_IN_PREFIX)


def test_a_sysctl_that_does_not_exist_is_empty() -> None:
    assert clock_module._sysctl(b"no.such.thing") == b""


def test_now_compares_by_value() -> None:
    assert Now(1.0, 2.0, "b") == Now(1.0, 2.0, "b")
    assert len({Now(1.0, 2.0, "b"), Now(1.0, 2.0, "b"), Now(1.0, 2.0, "c")}) == 2
    assert Now(1.0, 2.0, "b") != "b"
    assert "mono_s=2.0" in repr(Now(1.0, 2.0, "b"))


# -- waiting


def test_wait_sees_what_is_readable(pipe: Pipe) -> None:
    pipe.ring()

    assert SystemClock().wait([pipe], 60)
    assert SystemClock().wait([pipe], None)


def test_wait_ends_with_its_time(pipe: Pipe) -> None:
    clock = SystemClock()
    before = clock.now().mono_s

    assert not clock.wait([pipe], 0.0201)

    assert clock.now().mono_s - before >= 0.0201  # rounded up, never down


@pytest.mark.parametrize("timeout_s", [0, -1, -math.inf])
def test_wait_of_nothing_looks_once(pipe: Pipe, timeout_s: float) -> None:
    assert not SystemClock().wait([pipe], timeout_s)


@pytest.mark.parametrize("timeout_s", [3e6, 1e300, math.inf])
def test_wait_may_be_longer_than_poll_can_count(pipe: Pipe, timeout_s: float) -> None:
    pipe.ring()

    assert SystemClock().wait([pipe], timeout_s)


def test_wait_without_a_number_is_refused(pipe: Pipe) -> None:
    with pytest.raises(ValueError, match="NaN"):
        SystemClock().wait([pipe], math.nan)


def test_the_other_end_of_a_closed_socket_is_readable() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()

    assert SystemClock().wait([ours], 60)

    ours.close()


def test_a_signal_does_not_end_the_wait(pipe: Pipe) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    clock = SystemClock()
    before = clock.now().mono_s
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)

        assert not clock.wait([pipe], 0.05)

    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert seen
    assert clock.now().mono_s - before >= 0.05


# -- text


@pytest.mark.parametrize(
    ("wall_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (SOME_TIME_S, SOME_TIME),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (1.9999999, "1970-01-01T00:00:02.000000Z"),
        (-62_135_596_800, "0001-01-01T00:00:00.000000Z"),
        (253_402_300_799.0, "9999-12-31T23:59:59.000000Z"),
        (math.nextafter(253_402_300_800, 0), "9999-12-31T23:59:59.999969Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_iso_is_utc_with_microseconds(wall_s: float, text: str) -> None:
    assert iso(wall_s) == text


@pytest.mark.parametrize("wall_s", [math.nan, math.inf, -math.inf, 253_402_300_800, -62_135_596_801, 1e300])
def test_iso_refuses_what_is_no_time(wall_s: float) -> None:
    with pytest.raises(ValueError, match="not a time"):
        iso(wall_s)


@given(st.floats(min_value=-62_135_596_800, max_value=253_402_300_799))
@example(0.9999995)
@example(1_795_222_799.9999996)
def test_iso_agrees_with_the_standard_library(wall_s: float) -> None:
    text = iso(wall_s)

    assert len(text) == 27
    exact = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=wall_s)
    read = datetime.datetime.fromisoformat(text)
    assert abs(read - exact) <= datetime.timedelta(microseconds=1)


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_text_and_number_lead_back_to_each_other(micro: int) -> None:
    text = iso(micro / 1e6)

    assert iso(parse_iso(text)) == text


@given(
    st.datetimes(
        min_value=FIRST,
        max_value=LAST,
        timezones=st.integers(-1439, 1439).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m))),
    )
)
def test_parse_agrees_with_the_standard_library(instant: datetime.datetime) -> None:
    assert parse_iso(instant.isoformat()) == pytest.approx(instant.timestamp(), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "wall_s"),
    [
        (SOME_TIME, SOME_TIME_S),
        ("2026-11-21T01:00:00Z", 1_795_222_800),
        ("2026-11-21t01:00:00z", 1_795_222_800),
        ("2026-11-21 01:00:00", 1_795_222_800),
        ("2026-11-21T01:00:00", 1_795_222_800),
        ("2026-11-21T03:00:00+02:00", 1_795_222_800),
        ("2026-11-21T03:00:00+0200", 1_795_222_800),
        ("2026-11-20T20:00:00-05", 1_795_222_800),
        ("2026-11-21T01:00:00.5", 1_795_222_800.5),
        ("2026-11-21T01:00:00.123456789Z", SOME_TIME_S),
        ("2024-02-29T00:00:00Z", 1_709_164_800),
        ("0001-01-01T00:00:00Z", -62_135_596_800),
    ],
)
def test_parse_reads_zulu_offset_and_naive(text: str, wall_s: float) -> None:
    assert parse_iso(text) == wall_s


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-11-21", "2026-11-21T", "2026-11-21T01:00", "2026-11-21T01:00:00.", "2026-11-21T01:00:00.Z"),
        *("2026-11-21T01:00:00ZZ", "2026-11-21T01:00:00 Z", " 2026-11-21T01:00:00Z", "2026-11-21T01:00:00Z\n"),
        *("2026-00-21T01:00:00Z", "2026-13-21T01:00:00Z", "2026-11-00T01:00:00Z", "2026-11-31T01:00:00Z"),
        *("2025-02-29T01:00:00Z", "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "2026-11-21T24:00:00Z"),
        *("2026-11-21T01:60:00Z", "2026-11-21T01:00:60Z", "2026-11-21T01:00:00+24:00", "2026-11-21T01:00:00+02:60"),
        *("2026-11-21T01:00:00+2", "2026-11-21T01:00:00+02:", "2026-11-21T01:00:00+02:0", "2026-11-21T01:00:00+"),
        *("2026-11-21T01:00:00.1234567890Z", "+026-11-21T01:00:00Z", "2026-11-21T0 :00:00Z", "2026_11-21T01:00:00Z"),
        *("\uff12026-11-21T01:00:00Z", "2026-11-21T01:00:00\u00b2", "20261121T010000Z", "2026-11-21X01:00:00Z"),
        *(None, 1_795_222_800, 1.5, b"2026-11-21T01:00:00Z", ["2026"], {}),
    ],
)
def test_parse_refuses_everything_else(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 time"):
        parse_iso(text)


@given(st.one_of(st.text(), st.text("0123456789-:TZ.+ ", min_size=19, max_size=30), st.binary()))
def test_parse_returns_a_number_or_refuses(text: str) -> None:
    try:
        found = parse_iso(text)
    except ValueError:
        return

    assert math.isfinite(found)


# -- the manual clock


def test_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(wall_s=100, mono_s=10)
    start = clock.now()

    clock.advance(2.5)

    assert start == Now(100, 10, "fake-boot-1")
    assert clock.now() == Now(102.5, 12.5, "fake-boot-1")
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_setting_the_wall_clock_changes_no_age__failure_3_10() -> None:
    clock = ManualClock(wall_s=100, mono_s=10)

    clock.jump_wall(-86_400)

    assert clock.now() == Now(100 - 86_400, 10, "fake-boot-1")


def test_sleep_of_the_machine_is_no_age__failure_3_11() -> None:
    clock = ManualClock(wall_s=100, mono_s=10)

    clock.suspend(3600)

    assert clock.now() == Now(3700, 10, "fake-boot-1")


def test_system_clock_ages_by_a_clock_that_stands_still_in_suspend__failure_3_11() -> None:
    before = clock_module.time.clock_gettime(clock_module.time.CLOCK_MONOTONIC)

    between = SystemClock().now().mono_s

    assert before <= between <= clock_module.time.clock_gettime(clock_module.time.CLOCK_MONOTONIC)


def test_a_set_system_clock_changes_no_monotonic_time__failure_3_10(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SystemClock().now()
    monkeypatch.setattr(clock_module, "_wall", lambda: before.wall_s + 86_400)

    after = SystemClock().now()

    assert after.wall_s - before.wall_s == 86_400
    assert 0 <= after.mono_s - before.mono_s < 60


def test_manual_reboot_starts_another_boot() -> None:
    clock = ManualClock(wall_s=100, mono_s=10)

    clock.reboot()

    assert clock.now() == Now(160, 0, "fake-boot-2")


def test_manual_wait_moves_time_instead_of_sleeping(pipe: Pipe) -> None:
    clock = ManualClock(wall_s=100, mono_s=10)

    assert not clock.wait([pipe], 3600)
    assert clock.now().mono_s == 3610
    pipe.ring()
    assert clock.wait([pipe], 3600)
    assert clock.now().mono_s == 3610


def test_manual_wait_for_ever_is_an_error_of_the_test(pipe: Pipe) -> None:
    with pytest.raises(AssertionError, match="without a timeout"):
        ManualClock().wait([pipe], None)


def test_manual_clock_loses_no_step_of_many_threads() -> None:
    clock = ManualClock(mono_s=0)
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(500)]) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clock.now().mono_s == 4000
