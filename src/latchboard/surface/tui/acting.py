"""Acting: what somebody at the terminal may change: break a lock, or give an own one back. In a thread each.

A question comes first; the token in it is that of the hold that was looked at, so that a newer one is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.aio import in_thread
from latchboard.errors import CoordinationError, UsageError
from latchboard.locks import handoff
from latchboard.surface.tui import details
from latchboard.surface.tui.text import listing, plural, shown

if TYPE_CHECKING:
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.surface.tui.tree import File

    Entry = dict[str, Any]
    Fact = tuple[str, str]


class Order:
    """What somebody wants to change, as it was when it was looked at: the tree goes on changing meanwhile.

    Attributes:
        act: break or release.
        name: Canonical name of the lock.
        holds: Those that it is about.
    """

    __slots__ = ("act", "holds", "name")

    def __init__(self, act: str, name: str, holds: list[Entry]) -> None:
        self.act = act
        self.name = name
        self.holds = holds

    @property
    def token(self) -> int | None:
        """Of the one hold that it is about; None: of all, whoever has it."""
        return self.holds[0]["token"] if len(self.holds) == 1 else None

    @property
    def title(self) -> str:
        """The question in short."""
        return "Break this lock?" if self.act == "break" else "Give this lock back?"

    @property
    def yes(self) -> str:
        """The answer that does it."""
        return "Break it" if self.act == "break" else "Release it"


class Acting:
    """Changes, on behalf of one agent."""

    def __init__(self, board: Latchboard, agent: str | None) -> None:
        """None: nobody was named, and nothing can be changed."""
        self._board = board
        self._agent = agent

    def order(self, file: File | None, act: str) -> Order | str:
        """What is to be asked; or why it cannot be done at all."""
        if self._agent is None:
            return "Nothing can be changed: start it with --agent ID, or set AGENT_ID"
        if file is None or not file.holds:
            return "Nobody holds this: choose a file that is held"
        holds = [hold for hold in file.holds if act == "break" or hold["agent"] == self._agent]
        return Order(act, file.name, holds) if holds else f"{shown(self._agent)} does not hold this"

    def question(self, order: Order, wall_s: float) -> list[Fact]:
        """What would happen."""
        facts = [("file", shown(order.name)), ("you are", shown(self._agent or ""))]
        for hold in order.holds:
            facts += [("", ""), *details.hold_facts(hold, wall_s)]
        if order.act == "break":
            after = "Guarded writes, renewals and releases of the holder are refused from then on. It is told."
        else:
            after = "It is free then, or goes to who is first in line."
        return [*facts, ("", ""), ("", after)]

    async def act(self, order: Order, reason: str) -> str:
        """Do it; what came of it, in a sentence."""
        work = self._break if order.act == "break" else self._release
        try:
            return await in_thread(lambda: work(order, reason))
        except CoordinationError as exc:
            return f"Nothing was changed: {shown(exc.message)}"

    def _break(self, order: Order, reason: str) -> str:
        locks = self._board.locks
        broken = handoff.break_lock(locks, order.name, by=self._named(), reason=reason, token=order.token)
        self._publish()
        if not broken:
            return f"{shown(order.name)} is held by nobody; nothing was changed"
        return f"Broken: {shown(order.name)}, held by {listing(one['agent'] for one in broken)}"

    def _release(self, order: Order, _reason: str) -> str:
        released = self._board.locks.release_names(self._named(), [order.name], token=order.token)
        self._publish()
        return f"Given back: {plural(len(released), 'file')}" if released else "It was not held any more"

    def _publish(self) -> None:
        try:
            self._board.board.publish_if_due()
        except CoordinationError:
            return  # what was asked for is done; the next command writes the file

    def _named(self) -> str:
        if self._agent is None:
            raise UsageError("nobody was named")
        return self._agent
