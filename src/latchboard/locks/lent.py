"""Lent: what a command need not ask for, since the one that started it holds it and gave it the token.

Law. What is lent is not the borrower's to give back, and ends with the hold of the lender.

Protocol: protocol/cli.md, "acquire".
"""

from __future__ import annotations

from latchboard.errors import HoldLost
from latchboard.locks.linked import is_link
from latchboard.locks.looking import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.locks.hold import Hold
    from latchboard.locks.service import Locks


def acquire(
    locks: Locks, paths: list[str], take: Callable[[list[str]], Hold], *, agent: str, token: int, shared: bool
) -> tuple[Hold | None, dict[str, int]]:
    """Take what the hold with this token does not cover.

    Args:
        locks: The service.
        paths: What is asked for.
        take: Takes the rest, all or nothing.
        agent: Who asks.
        token: Of a hold of the same agent.
        shared: Whether a shared hold is enough.

    Returns:
        The hold of the rest (None: there was none), and the names that are lent with their tokens.

    Raises:
        HoldLost: The lender's hold ended meanwhile; nothing was taken.
    """
    lent = shown(locks, paths, agent=agent, token=token, shared=shared)
    rest = [name for name in locks.names(paths) if name not in lent and (not is_link(name) or name in paths)]
    hold = take(rest) if rest else None
    if hold is not None and lent and shown(locks, list(lent), agent=agent, token=token, shared=shared) != lent:
        hold.release()
        raise HoldLost(
            f"the hold of {agent} with token {token} ended meanwhile",
            hint="acquire again, without that token",
            names=list(lent),
        )
    return hold, dict(lent.values())
