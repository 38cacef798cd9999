"""Own: the locks as one agent's calls see them: what its other calls hold for it is its own.

Each call of an agent is a process or two of its own. In the table of locks the holder of an agent-bound hold is the
agent in the process that took it, while that lives: two programs that go by one id by mistake do not share a lock. Here
that would turn an agent away from its own file: two calls at once, or one in a container whose processes nobody can
judge. So an agent-bound hold of the agent id is the asker's. A hold that is bound to a process stays that process's.

Protocol: protocol/editing.md, "Whose a hold is".
"""

from __future__ import annotations

from latchboard.locks.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.rules.lock import Holding, Request


class Own(Table):
    """The locks of one transaction, for an agent that asks in any process."""

    def is_mine(self, holding: Holding, request: Request) -> bool:
        """Whether a hold is the requester's own, whichever process took it."""
        is_agents = holding["bound"] == "agent" and holding["agent"] == request.agent
        return is_agents or super().is_mine(holding, request)
