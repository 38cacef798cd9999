"""Engaged: how many locks and waits this process has for each agent.

A request that would wait can only close a cycle if somebody waits for its holder; a holder with nothing in hand and
no other wait spares the search.
Counts may be too high (a hold that was never released), never too low.
"""

from __future__ import annotations

from _thread import allocate_lock

_counts: dict[str, int] = {}
_mutex = allocate_lock()


def engage(agent: str) -> None:
    """One more hold or wait."""
    with _mutex:
        _counts[agent] = _counts.get(agent, 0) + 1


def disengage(agent: str) -> None:
    """One less."""
    with _mutex:
        left = _counts.get(agent, 0) - 1
        if left > 0:
            _counts[agent] = left
        else:
            _counts.pop(agent, None)


def is_engaged(agent: str, *, apart_from: int = 0) -> bool:
    """Whether the agent has more than `apart_from` holds and waits in this process."""
    return _counts.get(agent, 0) > apart_from
