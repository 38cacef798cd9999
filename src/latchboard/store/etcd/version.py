"""Version: from which etcd on what it says can be believed.

Below the floor a lease may be renewed that is gone, a watch may lose events, and revisions may come back (etcd's own
changelogs for 3.5.13, .14, .18, .22, .23): each of them gives a lock to two.

Protocol: protocol/etcd.md, "Which etcd".
"""

from __future__ import annotations

from latchboard.store.etcd.errors import VersionRefused

FLOORS = ((3, 5, 23), (3, 6, 5))
_OLDEST = (3, 4, 0)


def check_version(text: str, endpoints: tuple[str, ...], *, takes_any: bool) -> None:
    """Refuse an etcd that is too old.

    Args:
        text: What it says, such as `3.5.30` or `3.6.0-rc.1`.
        endpoints: Where, for the message.
        takes_any: Whether one below the floor may be used nevertheless: for tests, on what a system brings.

    Raises:
        VersionRefused: It is too old, or says no version.
    """
    found = _numbers(text)
    if found >= _floor(found) or (takes_any and found >= _OLDEST):
        return
    raise VersionRefused(
        f"etcd at {', '.join(endpoints)} is {text[:40]}: it can lose events and repeat revisions",
        hint="use 3.5.23, 3.6.5 or later",
        found=text[:40],
        floor=".".join(map(str, _floor(found))),
        endpoint=endpoints[0],
    )


def _floor(found: tuple[int, ...]) -> tuple[int, ...]:
    """The floor of this release, or of the first one that has one."""
    return next((floor for floor in reversed(FLOORS) if found[:2] >= floor[:2]), FLOORS[0])


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.partition("-")[0].partition("+")[0].split(".")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        return (0,)
    numbers = tuple(int(part[:9]) for part in parts[:3])
    is_early = "-" in text  # a release candidate comes before its release
    return (*numbers[:2], numbers[2] - 1) if is_early and len(numbers) == 3 else numbers
