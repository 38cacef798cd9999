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
    from latchboard.compose import Latchboard
    from latchboard.surface.tui.tree import File

    Fact = tuple[str, str]


class Acting:
    """Changes, on behalf of one agent."""

    def __init__(self, board: Latchboard, agent: str | None) -> None:
        """None: nobody was named, and nothing can be changed."""
        self._board = board
        self._agent = agent

    def why_not(self, file: File | None, act: str) -> str:
        """Why this cannot be done at all; empty: ask."""
        if self._agent is None:
            return "Nothing can be changed: start it with --agent ID, or set AGENT_ID"
        if file is None or not file.holds:
            return "Nobody holds this: choose a file that is held"
        if act == "release" and self._token(file) is None:
            return f"{shown(self._agent)} does not hold this"
        return ""

    def question(self, file: File, act: str, wall_s: float) -> list[Fact]:
        """What would happen."""
        facts = [("file", shown(file.name)), ("you are", shown(self._agent or ""))]
        for hold in file.holds:
            if act == "break" or hold["agent"] == self._agent:
                facts += [("", ""), *details.hold_facts(hold, wall_s)]
        after = "Guarded writes, renewals and releases of the holder are refused from then on. It is told."
        return [
            *facts,
            ("", ""),
            ("", after if act == "break" else "It is free then, or goes to who is first in line."),
        ]

    async def act(self, file: File, act: str, reason: str) -> str:
        """Do it; what came of it, in a sentence."""
        work = self._break if act == "break" else self._release
        try:
            return await in_thread(lambda: work(file, reason))
        except CoordinationError as exc:
            return f"Nothing was changed: {shown(exc.message)}"

    def _break(self, file: File, reason: str) -> str:
        token = file.holds[0]["token"] if len(file.holds) == 1 else None
        broken = handoff.break_lock(self._board.locks, file.name, by=self._named(), reason=reason, token=token)
        self._publish()
        if not broken:
            return f"{shown(file.name)} is held by nobody; nothing was changed"
        return f"Broken: {shown(file.name)}, held by {listing(one['agent'] for one in broken)}"

    def _release(self, file: File, _reason: str) -> str:
        released = self._board.locks.release_names(self._named(), [file.name], token=self._token(file))
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

    def _token(self, file: File) -> int | None:
        return next((hold["token"] for hold in file.holds if hold["agent"] == self._agent), None)
