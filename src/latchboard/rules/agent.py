"""Agent: what can be the id of an agent; pure. Ids are compared exactly: `a`, `A`, `a_b` and `a/b` are four agents.

Protocol: protocol/terms.md, "Agent".
"""

from __future__ import annotations

from latchboard.errors import UsageError

ID_LENGTH_MAX = 200


def check_agent(agent: object) -> str:
    """The agent id, if it can be one: 1 to 200 printable characters, no blanks at its ends.

    Raises:
        UsageError: It cannot.
    """
    if not is_agent(agent):
        raise UsageError(
            f"an agent id is 1 to {ID_LENGTH_MAX} printable characters without blanks around them, not {agent!r:.80}",
            hint="set AGENT_ID or give --agent",
        )
    return str(agent)


def is_agent(agent: object) -> bool:
    """Whether `agent` can be the id of an agent."""
    return isinstance(agent, str) and 0 < len(agent) <= ID_LENGTH_MAX and agent == agent.strip() and agent.isprintable()
