"""Ages: spans of time in a few cells, and times of day."""

from __future__ import annotations

from latchboard.clock import parse_iso


def short(seconds: float) -> str:
    """At most four cells: `now`, `45s`, `12m`, `3h`, `2d`, `99w+`."""
    whole = int(seconds)
    if whole < 1:
        return "now"
    for size, unit, most in ((1, "s", 100), (60, "m", 100), (3600, "h", 48), (86_400, "d", 100), (604_800, "w", 100)):
        if whole < size * most:
            return f"{whole // size}{unit}"
    return "99w+"


def since(at: str | None, wall_s: float) -> str:
    """How long ago an instant is; empty where it is none."""
    try:
        return short(max(0.0, wall_s - parse_iso(at))) if at else ""
    except ValueError:
        return "?"


def until(at: str | None, wall_s: float) -> str:
    """How long until an instant; `over` when it is past."""
    try:
        left_s = parse_iso(at) - wall_s if at else None
    except ValueError:
        return "?"
    if left_s is None:
        return "?"
    return "over" if left_s <= 0 else short(left_s)


def clock(at: str) -> str:
    """The time of day in UTC, of an instant as records say it."""
    try:
        parse_iso(at)
    except ValueError:
        return "??:??:??"
    return at[11:19]
