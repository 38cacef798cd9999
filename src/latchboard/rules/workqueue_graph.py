"""Dependencies: who waits for whom, and the cycle that must not be; pure.

Protocol: protocol/workqueue.md, "Dependencies".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def cycle(starts: Iterable[str], waits_for: Callable[[str], Iterable[str]]) -> list[str]:
    """A way from a job back to itself along what it waits for, the first again at its end; empty: there is none.

    Args:
        starts: From where to look.
        waits_for: What a job waits for; asked once for each.
    """
    done: set[str] = set()
    for start in starts:
        way: dict[str, None] = {}
        branches = [iter((start,))]
        while branches:
            following = next(branches[-1], None)
            if following is None:
                branches.pop()
                if way:
                    done.add(way.popitem()[0])
            elif following in way:
                found = list(way)
                return [*found[found.index(following) :], following]
            elif following not in done:
                way[following] = None
                branches.append(iter(waits_for(following)))
    return []


def endless(starts: Iterable[str], waits_for: Callable[[str], Iterable[str]]) -> set[str]:
    """Those that wait in a circle, or for one that does, however long the way.

    Args:
        starts: From where to look; who is met on the way is looked at, too.
        waits_for: What a job waits for; asked once for each.
    """
    left: dict[str, int] = {}
    waiting: dict[str, list[str]] = {}
    follow = [*starts]
    free: list[str] = []
    while follow:
        one = follow.pop()
        if one in left:
            continue
        needed = [*waits_for(one)]
        left[one] = len(needed)
        for other in needed:
            waiting.setdefault(other, []).append(one)
        if not needed:
            free.append(one)
        follow += needed
    while free:
        for one in waiting.get(free.pop(), []):
            left[one] -= 1
            if not left[one]:
                free.append(one)
    return {one for one, count in left.items() if count}
