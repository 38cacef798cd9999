"""Seating: a worker's number, which nobody else of its role has while it lives.

Protocol: protocol/worker.md, "Starting".
"""

from __future__ import annotations

from latchboard.errors import AlreadyRunning
from latchboard.rules import worker as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.singleton import Registration, Singletons

_NUMBERS_COUNT = 64
"""So many are looked at in one go for one that is free."""


def take_seat(singletons: Singletons, role: str, number: int | None) -> Registration:
    """Register this process as the worker of a role with this number, or the first one that is free.

    Raises:
        AlreadyRunning: That worker runs, or all do.
        StoreError: The registry cannot be used.
    """
    if number is not None:
        return singletons.enforce(rules.name(role, number))
    refusal: AlreadyRunning | None = None
    for first in range(1, rules.NUMBER_MAX, _NUMBERS_COUNT):
        names = [rules.name(role, n) for n in range(first, min(first + _NUMBERS_COUNT, rules.NUMBER_MAX + 1))]
        for one in singletons.status(names):
            if one["state"] == "running":
                continue
            try:
                return singletons.enforce(one["agent_type"])
            except AlreadyRunning as exc:  # another one that starts took it in between
                refusal = exc
    raise refusal or AlreadyRunning(f"{rules.NUMBER_MAX} workers of the role {role} run", hint="end some of them")
