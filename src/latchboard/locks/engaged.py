"""Engaged: how many holds this process has for each agent.

A request that would wait can only close a cycle if somebody waits for its holder; a holder with nothing in hand spares
the search. Counts may be too high (a hold that was never released, a commit that failed), never too low, but for a
hold that another thread was just granted: that thread goes on by itself.
"""

from __future__ import annotations

from _thread import allocate_lock

_counts: dict[str, int] = {}
_mutex = allocate_lock()


def engage(agent: str) -> None:
    """One more hold."""
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


def is_engaged(agent: str) -> bool:
    """Whether the agent has a hold in this process."""
    return agent in _counts
