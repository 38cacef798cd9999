"""Agent: what can be the id of an agent; pure. Ids are compared exactly: `a`, `A`, `a_b` and `a/b` are four agents.

Protocol: protocol/terms.md, "Agent".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def fitted(text: str) -> str:
    """`text` where it can be an agent id, else one made from it: what is printable of it, and its hash.

    Two texts never become the same id, for the hash is of the whole. Empty where nothing of it is printable.
    """
    if is_agent(text):
        return text
    kept = "".join(one for one in text if one.isprintable()).strip()
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{kept[:150].rstrip()}~{digest}" if kept else ""


def sha256(data: bytes) -> Any:
    """A digest. Few ids need one, hence what makes it is imported then."""
    from latchboard.rules.digest import sha256

    return sha256(data)
