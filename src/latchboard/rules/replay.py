"""Replay: at which instant a board of the past is shown; pure.

The journal has wall times alone, and holds end by the monotonic clock. But nearly every commit puts a record that says
both: that is its time. A commit without one is told by the last before it, and the wall time since.

Protocol: protocol/board.md, "Replay".
"""

from __future__ import annotations

from latchboard.clock import Now, parse_iso
from latchboard.rules.lease import check_moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from latchboard.rules.known import Change


_DEPTH_MAX = 6
"""A foreign value may be nested as deeply as JSON can be read."""


def time_of(changes: Sequence[Change]) -> Now | None:
    """When the last of some commits was made; None: there is none, or it says no time.

    Args:
        changes: Of commits that follow each other, in the order of revisions.

    Returns:
        Where no commit has said a monotonic time: one of no boot, so that ages are by the wall clock.
    """
    wall_s = _wall_s(changes[-1].at) if changes else None
    if wall_s is None:
        return None
    for change in reversed(changes):
        moment = _moment_in([change.value], change.at)
        then_s = None if moment is None else _wall_s(change.at)
        if moment is not None and then_s is not None:
            return Now(wall_s, moment["mono_s"] + max(0.0, wall_s - then_s), moment["boot"])
    return Now(wall_s, 0.0, "")


def _wall_s(at: str) -> float | None:
    try:
        return parse_iso(at)
    except ValueError:
        return None


def _moment_in(values: Iterable[Any], at: str, depth: int = 0) -> dict[str, Any] | None:
    """The first moment with that time in the values, not deeper than any record has one."""
    for value in values:
        if isinstance(value, dict) and value.get("at") == at and check_moment(value):
            return value
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        found = _moment_in(inside, at, depth + 1) if inside and depth < _DEPTH_MAX else None
        if found is not None:
            return found
    return None
