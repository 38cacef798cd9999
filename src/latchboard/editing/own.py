"""Own: the locks as one agent's calls see them: what its other calls hold for it is its own.

Each call of an agent is a process or two of its own. In the table of locks the holder of an agent-bound hold is the
agent in the process that took it, while that lives: two programs that go by one id by mistake do not share a lock. Here
that would turn an agent away from its own file: two calls at once, or one in a container whose processes nobody can
judge. So an agent-bound hold of the agent id is the asker's. A hold that is bound to a process stays that process's.

What an agent holds is not its subagent's. But an agent that has set a subagent to work waits for it, and would keep it
from the very file that it is to go on with until its own turn ends: such a hold passes on.

Protocol: protocol/editing.md, "Whose a hold is".
"""

from __future__ import annotations

from latchboard.editing import calls
from latchboard.locks.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from latchboard.rules.lock import Holding, Request, Waiter


class Own(Table):
    """The locks of one transaction, for an agent that asks in any process."""

    def is_mine(self, holding: Holding, request: Request) -> bool:
        """Whether a hold is the requester's own, whichever process took it."""
        is_agents = holding["bound"] == "agent" and holding["agent"] == request.agent
        return is_agents or super().is_mine(holding, request)

    def blockers(
        self, request: Request, seq: int | None = None, *, besides: Container[str] | None = None
    ) -> tuple[list[Holding], list[Waiter]]:
        """Who is in the way; what the agent of a subagent holds of these very names, and nobody waits for, passes on.

        Not while that agent is in a call of its own, which may just be writing.
        """
        holders, waiters = super().blockers(request, seq, besides=besides)
        parent = request.agent.rpartition(":")[0]
        if holders and not waiters and parent and all(self._passes_on(held, parent, request) for held in holders):
            from latchboard.locks.linked import give_back

            for held in holders:
                give_back(self, self.met[id(held)], held)
            return super().blockers(request, seq, besides=besides)
        return holders, waiters

    def _passes_on(self, held: Holding, parent: str, request: Request) -> bool:
        is_named = any(want["name"] == self.met[id(held)] for want in request.wants)
        is_parents = held["agent"] == parent and held["bound"] == "agent"
        return is_named and is_parents and not calls.is_known(self.view, parent)
