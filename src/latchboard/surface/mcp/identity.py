"""Identity: which agent a call is made for.

In this order: the `agent` of the call; AGENT_ID, or over HTTP the header `Latchboard-Agent`; the session id that Claude
Code hands to its servers, for its hooks go by that; a readable name made from the client that started this server, or
over HTTP from the session. Never one name for all who have none: each would hold what another one holds.

Protocol: protocol/mcp.md, "Identity".
"""

from __future__ import annotations

import os
import threading
from itertools import count, islice

from latchboard.errors import HostError, UsageError
from latchboard.rules.agent import check_agent, fitted
from latchboard.rules.naming import readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from latchboard.compose import Latchboard

HEADER = "Latchboard-Agent"
SESSION_VARIABLE = "CLAUDE_CODE_SESSION_ID"
_TRIES_COUNT = 100


class Caller:
    """Who is at the other end of one call, as far as its transport tells.

    Attributes:
        client: What its client calls itself; "" when it does not.
        is_remote: It came over HTTP: this server's own environment says nothing about it.
        header: What its header says; "" when there is none.
        session: Its session; "" when it has none.
    """

    __slots__ = ("client", "header", "is_remote", "session")

    def __init__(self, *, client: str = "", is_remote: bool = False, header: str = "", session: str = "") -> None:
        self.client = client
        self.is_remote = is_remote
        self.header = header
        self.session = session


class Identity:
    """The names of those who use this server. Threads may share one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._names: dict[str, str] = {}
        self._mutex = threading.Lock()

    def of(self, board: Latchboard, given: str | None, caller: Caller) -> str:
        """Who asks.

        Args:
            board: Where a name that was made is shown, so that nobody else takes it.
            given: The argument `agent`.
            caller: Who calls.

        Raises:
            UsageError: It cannot be an id, or a caller without a session does not say who it is.
        """
        if given is not None:
            return check_agent(given)
        named = caller.header if caller.is_remote else self._environ.get("AGENT_ID", "")
        if named:
            return check_agent(named)
        if session := self._session_of_hooks(caller):
            return session
        if caller.is_remote and not caller.session:
            raise UsageError(
                "over HTTP without a session nobody can tell who asks",
                hint=f"give `agent`, or have the client send the header {HEADER}",
            )
        return self._made(board, caller)

    def _session_of_hooks(self, caller: Caller) -> str:
        """The id that the hooks of the same client go by; "" where it cannot be known.

        The client's name is looked at as well: another client that Claude Code started inherits its variables.
        """
        if caller.is_remote or "claude" not in caller.client.lower():
            return ""
        return fitted(self._environ.get(SESSION_VARIABLE, ""))

    def _made(self, board: Latchboard, caller: Caller) -> str:
        with self._mutex:
            if caller.session not in self._names:
                seed = f"session {caller.session}" if caller.is_remote else f"client {_parent(board)}"
                seeds = (seed if number == 0 else f"{seed} {number}" for number in islice(count(), _TRIES_COUNT))
                # A client may start two servers for two agents of one project: the second goes by the next name.
                self._names[caller.session] = board.board.introduce(map(readable, seeds))
            return self._names[caller.session]


def _parent(board: Latchboard) -> str:
    """Who started this server, so that the same client gets the same name for a server that it starts again."""
    from latchboard.host.identity import tag

    pid = os.getppid()
    try:
        parent = board.host.look(pid)
    except HostError:
        parent = None
    return tag(parent["identity"]) if parent else f"{board.clock.now().boot} {pid}"
