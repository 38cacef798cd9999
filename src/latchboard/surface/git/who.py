"""Who: which agent runs git, told from the environment.

An agent is known by its id. Where only a sign of a client is there, it is an agent that does not say which: nothing can
be shown to be its own, so that it is asked to say who it is. Without either it is a person.

Protocol: protocol/git.md, "Who commits".
"""

from __future__ import annotations

from latchboard.rules.agent import fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_IDS = ("AGENT_ID", "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID")
"""The first that is not empty is the id; clients that name their session do so in the others."""
_SIGNS = ("CLAUDECODE", "CODEX_SANDBOX", "CODEX_CI", "GEMINI_CLI", "CURSOR_AGENT", "AI_AGENT")
"""Set by a client in every shell that it opens for an agent, and not in a person's terminal."""


class Who:
    """Who runs git.

    Attributes:
        agent: The agent id; "" where there is none.
        is_agent: Whether it is an agent, known or not; a person else.
    """

    __slots__ = ("agent", "is_agent")

    def __init__(self, environment: Mapping[str, str]) -> None:
        own = next((value for name in _IDS if (value := environment.get(name))), "")
        self.agent = fitted(own) if own else ""
        self.is_agent = bool(own) or any(environment.get(name) for name in _SIGNS)
