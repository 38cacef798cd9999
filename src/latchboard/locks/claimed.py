"""Claimed: the locks that belong to claims of the work queue. What ends the claim gives them back, and nothing sooner.

An agent's turn may end, or it may release all that it has, while it works on a job: its claim would be worth nothing
without its locks.

Protocol: protocol/workqueue.md, "Files".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.lock import Holding
    from latchboard.store.port import View


class Claimed:
    """The locks of every claim, as one transaction sees them; where that record cannot be read, none."""

    __slots__ = ("_locks",)

    def __init__(self, view: View) -> None:
        value: Any = view.get("queue/active")
        claims = value.get("claims") if value is not None else None
        found = [one for one in claims.values() if isinstance(one, dict)] if isinstance(claims, dict) else []
        self._locks = {
            (one.get("owner"), name, token)
            for one in found
            if isinstance(one.get("locks"), dict) and isinstance(one.get("owner"), str)
            for name, token in one["locks"].items()
            if type(token) is int
        }

    def has(self, name: str, held: Holding) -> bool:
        """Whether a hold of `name` is one of them."""
        tokens = (held["token"], held.get("first_token"))
        return any((held["agent"], name, token) in self._locks for token in tokens)
