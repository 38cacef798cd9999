"""Seating: a worker's number, which nobody else of its role has while it lives, on whatever machine.

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

    A number is one of this folder: where the store spans machines, and another one's worker has that name, the first
    free name is taken in its place; before all others one whose worker was killed here, and may have left a claim.

    Raises:
        AlreadyRunning: That worker runs here, or did until now, or all do.
        StoreError: The registry cannot be used.
    """
    if number is None:
        return _first_free(singletons, role, is_killed_first=False)
    try:
        return singletons.enforce(rules.name(role, number))
    except AlreadyRunning:
        (found,) = singletons.status([rules.name(role, number)])
        if found["state"] != "running" or "host_name" not in found:  # one of this folder, which may have ended by now
            raise
    return _first_free(singletons, role, is_killed_first=True)


def _first_free(singletons: Singletons, role: str, *, is_killed_first: bool) -> Registration:
    refusal: AlreadyRunning | None = None
    for first in range(1, rules.NUMBER_MAX, _NUMBERS_COUNT):
        names = [rules.name(role, n) for n in range(first, min(first + _NUMBERS_COUNT, rules.NUMBER_MAX + 1))]
        found = singletons.status(names)
        if is_killed_first:
            found.sort(key=lambda one: one["state"] != "stale")
        for one in found:
            if one["state"] == "running":
                continue
            try:
                return singletons.enforce(one["agent_type"])
            except AlreadyRunning as exc:  # another one that starts took it in between
                refusal = exc
    raise refusal or AlreadyRunning(f"{rules.NUMBER_MAX} workers of the role {role} run", hint="end some of them")
