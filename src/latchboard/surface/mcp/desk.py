"""Desk: where calls come in, whatever brings them: the project, the identities and the tools, without the SDK.

Threads may share one. The project is found at the first call, and kept.
"""

from __future__ import annotations

import os
import threading

from latchboard.errors import CoordinationError, UsageError
from latchboard.rules.given import check
from latchboard.surface.mcp import failure, project, work
from latchboard.surface.mcp.catalogue import TOOLS
from latchboard.surface.mcp.identity import Caller, Identity
from latchboard.surface.mcp.push import BOARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from latchboard.clock import HasFileno
    from latchboard.compose import Latchboard
    from latchboard.surface.mcp.project import Project
    from latchboard.surface.mcp.work import Outcome, Scene


class Desk:
    """One server's."""

    def __init__(
        self, compose: Callable[[str], Latchboard], *, root: str | None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Opens nothing.

        Args:
            compose: Makes the services for a root.
            root: The project's folder, if it was named.
            environ: Where AGENT_ID, and what clients tell their servers, is looked for.
        """
        self.root = root
        self._environ = environ
        self._compose = compose
        self._identity = Identity(environ)
        self._found: tuple[Latchboard, Project] | None = None
        self._mutex = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the project has been found."""
        return self._found is not None

    def open(self, offered: Iterable[str] = ()) -> Latchboard:
        """The project's services.

        Args:
            offered: The client's roots; they count at the first call, and unless a root was named.

        Raises:
            UsageError: There is no project, or none any more.
        """
        return self._open(offered)[0]

    def _open(self, offered: Iterable[str]) -> tuple[Latchboard, Project]:
        with self._mutex:
            if self._found is None:
                try:
                    current = os.getcwd()
                except OSError:  # it was removed
                    current = ""
                folders = [self._environ.get(project.FOLDER_VARIABLE, ""), current]
                place = project.find(self.root, offered, folders)
                self._found = self._compose(place.root), place
            if not os.path.isdir(self._found[1].root):  # a store would make it anew, for nobody
                raise UsageError(f"the project {self._found[1].root} is gone", hint="start the server where one is")
            return self._found

    def call(
        self,
        name: str,
        given: object,
        *,
        caller: Caller,
        offered: Iterable[str],
        cancel: HasFileno,
        tell: Callable[[str], None],
    ) -> Outcome:
        """Do what one call of a tool asks for.

        Raises:
            CoordinationError: It was refused, or cannot be done; nothing is left of it.
        """
        tool = TOOLS[name]
        values = check(name, tool.input, said(given))
        agent = values.pop("agent", None)
        board, place = self._open(offered)
        scene = work.Scene(board, place, self._identity.of(board, agent, caller), cancel, tell)
        outcome: Outcome = getattr(work, name)(scene, **values)
        if not tool.tells_mail:
            _add_unread(outcome, scene)
        return outcome

    def read(self, uri: str, offered: Iterable[str]) -> str:
        """What a resource has in it now, as JSON.

        Raises:
            CoordinationError: It cannot be read.
        """
        from latchboard.codec import encode

        board = self.open(offered)
        facts = board.board.read() if uri == BOARD else {"format": 1, "events": board.board.history()}
        return encode(facts)

    def take(self, agent: str, handed_on: Iterable[str]) -> None:
        """Take the messages that have arrived with their reader."""
        self.open().mailbox.receive(agent, only=frozenset(handed_on))

    def fault(self, exc: BaseException) -> dict[str, Any]:
        """The answer to a call that failed."""
        if not isinstance(exc, CoordinationError):
            return failure.internal(exc)
        return failure.facts(exc, self._found[0].clock.now() if self._found else None)

    def close(self) -> None:
        """Write the board and free descriptors; holds stay as they are."""
        with self._mutex:
            if self._found is not None:
                self._found[0].close()


def said(given: object) -> object:
    """The arguments without those that are null: clients say so of what they leave out."""
    if given is None:
        return {}
    return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


def _add_unread(outcome: Outcome, scene: Scene) -> None:
    """Say that mail waits: between the calls of a client without hooks nobody else does."""
    try:
        unread = scene.board.mailbox.unread(scene.agent)
    except CoordinationError:  # what was asked for is done; whoever reads the mail meets the trouble
        return
    if unread:
        outcome.facts["unread"] = unread
