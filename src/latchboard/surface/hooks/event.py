"""Event and Outcome: what a client tells a hook and what the hook says to it, whichever client it is.

A client's module only translates: its bytes into an Event, an Outcome into its bytes. What is done about an event is
decided once, for all of them.

Protocol: protocol/editing.md, "Events".
"""

from __future__ import annotations

from latchboard.rules.agent import fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Literal, Protocol

    Kind = Literal[
        "session-start",
        "prompt",
        "before-edit",
        "before-shell",
        "edited",
        "after-edit",
        "after-shell",
        "after-other",
        "failed",
        "turn-end",
        "subagent-end",
        "session-end",
        "other",
    ]


class Event:
    """What a client tells a hook. No dataclass: importing that would cost more than the whole call.

    Attributes:
        client: `claude`, `codex`, `gemini`, `cursor`, `aider`.
        kind: What happened, in the words of all clients. `edited`: an edit that no hook came before; its files are
            claimed now, and whoever else holds one is told of.
        agent: The agent id, made by `agent_of`.
        session: The client's session id; empty where it has none.
        cwd: The folder the client works in; relative paths are relative to it.
        paths: The files an edit writes, as the client names them: absolute, or relative to `cwd`. Of a shell call,
            those that its client shows plainly; what the command line says is read apart.
        unclear: Why an edit can write files that are not in `paths`; empty when they are all there. What cannot be
            named cannot be shown to be free: such a call is denied, as a store is that cannot be read.
        command: The command line of a shell call; empty otherwise.
        tool: The client's own name for the tool; empty where there is none.
        env_file: Where the client reads variables for its later shell calls; empty where it does not.
        subagent: The client's id of the subagent that called; empty outside one.
        name: The client's own name for the event, for an answer that must repeat it.
        project: The folder that the client was started for; empty where it does not say. The project is looked for from
            there first, for agents change `cwd`.
        carries: Whether an answer to this event can reach the model. Mail is handed over only where it can.
    """

    __slots__ = (
        "agent",
        "carries",
        "client",
        "command",
        "cwd",
        "env_file",
        "kind",
        "name",
        "paths",
        "project",
        "session",
        "subagent",
        "tool",
        "unclear",
    )

    def __init__(  # noqa: PLR0913 - a record: each field is an argument by its name
        self,
        client: str,
        kind: Kind,
        *,
        agent: str,
        session: str = "",
        cwd: str = "",
        paths: tuple[str, ...] = (),
        command: str = "",
        tool: str = "",
        env_file: str = "",
        subagent: str = "",
        name: str = "",
        unclear: str = "",
        project: str = "",
        carries: bool = True,
    ) -> None:
        self.client = client
        self.kind = kind
        self.agent = agent
        self.session = session
        self.cwd = cwd
        self.paths = paths
        self.command = command
        self.tool = tool
        self.env_file = env_file
        self.subagent = subagent
        self.name = name
        self.unclear = unclear
        self.project = project
        self.carries = carries


class Outcome:
    """What the hook says.

    Attributes:
        denial: Why the call must not happen, written for a model; None when nothing is in its way.
        context: What the model is told besides; empty for nothing.
        note: What the person at the client is told; empty for nothing.
    """

    __slots__ = ("context", "denial", "note")

    def __init__(self, denial: str | None = None, *, context: str = "", note: str = "") -> None:
        self.denial = denial
        self.context = context
        self.note = note


if TYPE_CHECKING:

    class Client(Protocol):
        """What every client's module has."""

        def read(self, payload: dict[str, Any], environ: Mapping[str, str]) -> Event:
            """The event in `payload`; an event that is not known is of the kind `other`.

            Raises:
                UsageError: It cannot be right: a field has the wrong type, or one is missing that is needed.
            """

        def write(self, event: Event, outcome: Outcome) -> tuple[str, str, int]:
            """Standard output, standard error and the exit status that say `outcome` to the client."""


def agent_of(session: str, subagent: str, environ: Mapping[str, str]) -> str:
    """The agent id of a hook: `AGENT_ID` if set and not empty, else the session id; in a subagent with `:id` behind.

    What cannot be an agent id as it is, is made one (rules/agent.py). Empty where there is neither, nor a character of
    either that can stay: who asks is not known then, and nobody is made up.

    Protocol: protocol/editing.md, "Agent ids".
    """
    own = environ.get("AGENT_ID") or session
    if not own:
        return ""
    return fitted(f"{own}:{subagent}" if subagent else own)
