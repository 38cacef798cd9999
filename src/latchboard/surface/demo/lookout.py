"""Lookout: what the agents' locks and mailboxes say, read from beside; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from latchboard import Latchboard
from latchboard.clock import parse_iso


@dataclass(frozen=True)
class Takeover:
    """A lock that passed from a dead holder to another agent.

    Attributes:
        name: Of the lock.
        of: The dead holder.
        by: The new one.
        at_s: When, seconds since 1970.
    """

    name: str
    of: str
    by: str
    at_s: float


class Lookout:
    """Eyes on one project's board.

    Attributes:
        takeovers: All so far, in order.
        holds: Agent to the file it holds.
        waits_for: Agent to the file it waits for and whoever holds that, if anybody does.
    """

    def __init__(self, project: Path) -> None:
        self._latchboard = Latchboard(project, publishes=False)
        self._stream = self._latchboard.stream.events("lock.taken_over", after=0, timeout_s=0)
        self.takeovers: list[Takeover] = []
        self.holds: dict[str, str] = {}
        self.waits_for: dict[str, tuple[str, str | None]] = {}

    def close(self) -> None:
        """Let go of the board."""
        self._stream.close()
        self._latchboard.close()

    def look(self) -> None:
        """Take in the takeovers since the last look."""
        for event in self._stream:
            self.takeovers.append(Takeover(event["name"], event["agent"], event["by"], parse_iso(event["at"])))

    def look_around(self) -> None:
        """Take in who holds and waits for what, all at one instant."""
        agents = self._latchboard.board.agents()
        self.holds = {agent["agent"]: name for agent in agents for name in agent["holds"]}
        holder = {name: agent for agent, name in self.holds.items()}
        self.waits_for = {agent["agent"]: (name, holder.get(name)) for agent in agents for name in agent["waits_for"]}

    def holders(self, file: str) -> list[str]:
        """Who has the lock of a file now."""
        return [held["agent"] for held in self._latchboard.locks.check([file])]

    def mail_of(self, agent: str) -> list[str]:
        """Ids of the messages that wait for an agent."""
        return [message["id"] for message in self._latchboard.mailbox.peek(agent)]
