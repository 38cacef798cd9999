"""Clock: wall time for people, monotonic time for ages, and the boot that the monotonic time belongs to.

Law 1. An age is a difference of `mono_s` within one `boot`; a difference of `wall_s` is never an age within one boot.
Law 2. `mono_s` is CLOCK_MONOTONIC on purpose: it stands still while the machine sleeps, so a suspended laptop expires
nobody, and a jump of the wall clock changes nothing.
Law 3. Whoever needs time gets a `Clock`; nothing else in the library asks the system for it.

Guarantees that every process of one boot reads the same `boot` on Linux and macOS. Does not see time namespaces: a
process with its own offset of CLOCK_MONOTONIC (`unshare --time`) must not share a store with one that has another.

Protocol: protocol/terms.md, "Three clocks".
"""

from __future__ import annotations

import sys
import time
from time import monotonic as _monotonic
from time import time as _wall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class HasFileno(Protocol):
        """Anything poll(2) can look at: a bell, a pidfd, a socket."""

        def fileno(self) -> int:
            """Its descriptor."""
            ...

    class Clock(Protocol):
        """What services are given instead of the system's clocks."""

        def now(self) -> Now:
            """All three clocks, read at once."""
            ...

        def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
            """Block until one of `readables` is readable (True) or `timeout_s` seconds are over (False)."""
            ...


class Readable:
    """A bare descriptor, to be waited for with `Clock.wait`; it stays its opener's to close."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """It."""
        return self._fd


STAND_IN_PREFIX = "~boot-time-"
"""Starts a boot id that was computed from the boot time: it may drift, so two different ones prove nothing."""

_WALL_S_MIN = -62_135_596_800  # 0001-01-01T00:00:00Z
_WALL_S_END = 253_402_300_800  # 10000-01-01T00:00:00Z
_POLL_S_MAX = 86_400.0  # poll(2) takes milliseconds in a C int; a longer wait is made of several polls


class Now:
    """What a clock says at one instant.

    Attributes:
        wall_s: Seconds since 1970-01-01 UTC.
        mono_s: CLOCK_MONOTONIC, seconds; comparable only within one `boot`.
        boot: Boot id of this machine.
    """

    __slots__ = ("boot", "mono_s", "wall_s")

    def __init__(self, wall_s: float, mono_s: float, boot: str) -> None:
        self.wall_s = wall_s
        self.mono_s = mono_s
        self.boot = boot

    def __repr__(self) -> str:
        return f"Now(wall_s={self.wall_s!r}, mono_s={self.mono_s!r}, boot={self.boot!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Now):
            return NotImplemented
        return (self.wall_s, self.mono_s, self.boot) == (other.wall_s, other.mono_s, other.boot)

    def __hash__(self) -> int:
        return hash((self.wall_s, self.mono_s, self.boot))


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now(self) -> Now:
        """All three clocks, read at once (about 0.5 microseconds)."""
        return Now(_wall(), _monotonic(), boot_id())

    def wait(self, readables: Iterable[HasFileno], timeout_s: float | None) -> bool:
        """Block until one of `readables` is readable, hung up or closed, or until `timeout_s` seconds are over.

        Args:
            readables: Objects with `fileno()`. With none of them this is a sleep.
            timeout_s: Longest wait, seconds, rounded up to whole milliseconds; 0 or less looks once; None has no end.

        Returns:
            True when something is readable, False when the time is over. A signal whose handler returns does not end
            the wait.

        Raises:
            ValueError: `timeout_s` is NaN, or a readable has no descriptor (any more).
        """
        readables = list(readables)
        if not readables and timeout_s is not None and 0 < timeout_s <= _POLL_S_MAX:
            time.sleep(timeout_s)
            return False
        import select

        poll = select.poll()
        for readable in readables:
            poll.register(readable.fileno(), select.POLLIN)
        if timeout_s is None:
            return bool(poll.poll())
        deadline = _monotonic() + timeout_s
        left_s = timeout_s
        while left_s > _POLL_S_MAX:
            if poll.poll(_POLL_S_MAX * 1000):
                return True
            left_s = deadline - _monotonic()
        return bool(poll.poll(0 if left_s <= 0 else -int(-left_s * 1000 // 1)))


_boot_id = ""


def boot_id() -> str:
    """The id of this boot of this machine, read once in the life of a process."""
    global _boot_id
    if not _boot_id:
        _boot_id = _read_boot_id()
    return _boot_id


def _read_boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            text = file.read(64).strip()
        if text and text.isascii():
            return text.decode()
    except OSError:
        pass
    return _boot_session_of_darwin() or f"{STAND_IN_PREFIX}{_boot_time_s():.0f}"


def _boot_session_of_darwin() -> str:
    """The boot id of macOS, behind sysctl(3); "" elsewhere."""
    return _sysctl(b"kern.bootsessionuuid").rstrip(b"\0").decode("ascii", "replace")


def _boot_time_s() -> float:
    """When this machine was booted, unix seconds. Follows steps of the wall clock, hence only a stand-in."""
    timeval = _sysctl(b"kern.boottime")
    if len(timeval) >= 8:
        return float(int.from_bytes(timeval[:8], sys.byteorder))
    since_boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return _wall() - time.clock_gettime(since_boot)


def _sysctl(name: bytes) -> bytes:
    """The value of a sysctl of BSD and macOS; b"" where there is no such thing."""
    try:
        import ctypes

        value, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
        failed = ctypes.CDLL(None).sysctlbyname(name, value, ctypes.byref(size), None, ctypes.c_size_t(0))
    except (ImportError, OSError, AttributeError):
        return b""
    return b"" if failed else value.raw[: size.value]


_second = (0, "1970-01-01T00:00:00")
_latest = (0.0, "1970-01-01T00:00:00.000000Z")


def iso(wall_s: float) -> str:
    """`wall_s` (unix seconds) as `2026-11-21T01:40:00.123456Z`: UTC, always microseconds, always 27 characters.

    Raises:
        ValueError: Not a finite number, or outside the years 1 to 9999.
    """
    global _second, _latest
    latest = _latest
    if latest[0] == wall_s:  # one instant is often told twice: in a record and in the line of its commit
        return latest[1]
    if not _WALL_S_MIN <= wall_s < _WALL_S_END:
        raise ValueError(f"{wall_s!r} seconds is not a time in the years 1 to 9999")
    whole = int(wall_s // 1)
    micro = int((wall_s - whole) * 1e6 + 0.5)
    if micro == 1_000_000:
        whole, micro = whole + 1, 0
        if whole == _WALL_S_END:
            whole, micro = whole - 1, 999_999
    second = _second
    if second[0] != whole:
        t = time.gmtime(whole)
        second = _second = (whole, f"{t[0]:04d}-{t[1]:02d}-{t[2]:02d}T{t[3]:02d}:{t[4]:02d}:{t[5]:02d}")
    text = f"{second[1]}.{micro:06d}Z"
    _latest = (wall_s, text)
    return text


def parse_iso(text: str) -> float:
    """The unix seconds of an RFC 3339 time: with `Z`, with an offset, or naive (read as UTC).

    Raises:
        ValueError: Anything else, a date that does not exist included.
    """
    try:
        return _parse_iso(text)
    except (ValueError, TypeError, AttributeError) as exc:
        shown = repr(text)
        raise ValueError(f"not an ISO 8601 time: {shown[:80]}") from exc


def _parse_iso(text: str) -> float:
    if (
        not text.isascii()
        or len(text) < 19
        or text[4] + text[7] + text[13] + text[16] != "--::"
        or text[10] not in "Tt "
    ):
        raise ValueError
    year, month, day = _number(text[0:4]), _number(text[5:7]), _number(text[8:10])
    hour, minute, second = _number(text[11:13]), _number(text[14:16]), _number(text[17:19])
    if not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        raise ValueError
    if not 1 <= day <= _days_in_month(year, month):
        raise ValueError
    micro, zone = _fraction(text[19:])
    whole = _days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - _offset_s(zone)
    return whole + micro / 1_000_000


def _number(digits: str) -> int:
    if not digits.isdecimal():  # int() alone also takes signs, blanks and underscores
        raise ValueError
    return int(digits)


def _days_in_month(year: int, month: int) -> int:
    if year < 1:
        return 0
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _days_since_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01, counted from March so that the leap day comes last (Howard Hinnant's days_from_civil)."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _fraction(rest: str) -> tuple[int, str]:
    """Microseconds and what follows them; digits after the sixth (at most nine) are cut off."""
    if not rest.startswith("."):
        return 0, rest
    end = 1
    while end < len(rest) and rest[end].isdecimal():
        end += 1
    digits = rest[1:end]
    if not 1 <= len(digits) <= 9:
        raise ValueError
    return int((digits + "00000")[:6]), rest[end:]


def _offset_s(zone: str) -> int:
    """Seconds east of UTC of `Z`, `+02`, `+0200`, `+02:00`, or nothing."""
    if zone in ("", "Z", "z"):
        return 0
    hours, minutes = zone[1:3], zone[3:].removeprefix(":") if zone[3:] != ":" else "x"
    hour, minute = _number(hours), _number(minutes) if minutes else 0
    if zone[0] not in "+-" or len(hours) != 2 or len(minutes) not in (0, 2) or hour > 23 or minute > 59:
        raise ValueError
    return (hour * 3600 + minute * 60) * (1 if zone[0] == "+" else -1)
