"""Asking: what a verb that takes locks tells a person beside its answer.

Law 1. A program gets none of it: with --json, standard error stays empty.
"""

from __future__ import annotations

from latchboard.errors import CoordinationError
from latchboard.surface.cli import answer, wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.clock import Now
    from latchboard.locks.hold import Hold
    from latchboard.rules.lock import Request
    from latchboard.surface.cli.call import Call

_SHOWN_COUNT = 3


def before_waiting(call: Call, request: Request, wait_s_max: float) -> Hold | None:
    """Where a person looks on and it may wait, ask once and say behind whom it waits; the hold, where it is free."""
    if not wait_s_max or call.as_json or not answer.is_watched():
        return None
    from latchboard.locks import Hold

    outcome = call.board.locks.attempt(request, trace=False)
    if isinstance(outcome, Hold):
        return outcome
    facts = outcome.facts()
    behind = [_whom(one, call) for one in facts[:_SHOWN_COUNT]]
    if len(facts) > _SHOWN_COUNT:
        behind.append(f"{len(facts) - _SHOWN_COUNT} more")
    until = wording.ahead(wait_s_max, call.now)
    answer.warn(f"latchboard: waiting behind {', '.join(behind)}; until {until} at most, Ctrl-C gives up")
    return None


def _whom(one: dict[str, Any], call: Call) -> str:
    does = "in line" if one.get("waits") else f"has {answer.printable(str(one.get('name')))}"
    return f"{answer.printable(str(one['agent']))} ({does} since {wording.ago(str(one['since']), call.now)})"


def had_before(call: Call, hold: Hold, began: Now) -> dict[str, str]:
    """Since when the agent holds what it held before it asked (`began`): name to instant."""
    try:
        found = call.board.locks.check(hold.names)
    except CoordinationError:  # the hold is there; this was only for its words
        return {}
    return {
        one["name"]: one["since"]
        for one in found
        if hold.tokens.get(one["name"]) == one["token"] and wording.seconds_since(one["since"], began) > 0
    }


def note_outside(call: Call, names: Iterable[str]) -> None:
    """Say so where a lock is on something that is not of the project."""
    outside = [] if call.as_json else [name for name in names if name.startswith("/")]
    if outside:
        lies = "lies" if len(outside) == 1 else "lie"
        root = answer.printable(call.board.root)
        answer.warn(
            f"latchboard: {wording.listing(outside)} {lies} outside the project {root}: "
            "only those who use its board see the lock"
        )
