"""Agent: one agent's handle on everything, for `with me.lock(...)` and the like."""

from __future__ import annotations

from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.clock import HasFileno
    from latchboard.compose import Latchboard
    from latchboard.locks import Hold, Refusal
    from latchboard.rules.lock import Bound


class Agent:
    """What one agent can do.

    Attributes:
        id: The agent id.
        board: The project it belongs to.
    """

    __slots__ = ("board", "id")

    def __init__(self, board: Latchboard, agent_id: str) -> None:
        self.id = check_agent(agent_id)
        self.board = board

    def lock(
        self,
        *paths: str,
        wait_s_max: float | None = 0,
        shared: bool = False,
        bound: Bound = "process",
        ttl_s: float | None = None,
        reason: str = "",
        cancel: HasFileno | None = None,
    ) -> Hold:
        """Lock files, folders (`src/`) and globs (`glob:src/**/*.py`), all or nothing.

        Args:
            paths: Relative to the root, or absolute.
            wait_s_max: Longest wait in line, seconds; 0 asks once, None has no end.
            shared: Share with other shared holders.
            bound: `process`: ends with this process. `agent`: lives by its lease until it is released, also by a
                later process.
            ttl_s: Lease time, seconds; 3600 by default; renewed by use.
            reason: What for; others read it.
            cancel: Readable when the caller gives up.

        Returns:
            The hold; a context manager.

        Raises:
            LockHeld, WaitEnded: Somebody has it; says who, since when, until when. Retryable.
            Deadlock: Waiting would close a cycle.
            UsageError: A bad path or number.
            StoreError: Nothing was taken.

        Protocol: protocol/lock.md, "Acquire".
        """
        request = self.board.locks.request(self.id, paths, shared=shared, bound=bound, ttl_s=ttl_s, reason=reason)
        return self.board.locks.acquire(request, wait_s_max=wait_s_max, cancel=cancel)

    def try_lock(
        self,
        *paths: str,
        shared: bool = False,
        bound: Bound = "process",
        ttl_s: float | None = None,
        reason: str = "",
    ) -> Hold | Refusal:
        """As `lock`, at once: a hold, or a refusal (false) that says who is in the way."""
        request = self.board.locks.request(self.id, paths, shared=shared, bound=bound, ttl_s=ttl_s, reason=reason)
        return self.board.locks.try_acquire(request)

    def renew(self) -> None:
        """Start the lease of everything this agent holds agent-bound anew."""
        self.board.locks.renew_agent(self.id)
