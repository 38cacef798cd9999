"""Project: the folder that a server works in, found once and kept: what was held there must be found again.

In this order: --root; the first of the client's own roots that is in a project; the folder that Claude Code names to
its servers; the project around the current folder. A place in which nobody ever made a project is refused: two agents
in two such places would each be told that everything is free.

Protocol: protocol/mcp.md, "Root".
"""

from __future__ import annotations

import os

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Project:
    """Where it is.

    Attributes:
        root: The folder that names are relative to.
        own: The folder that stands for it here: itself, or a linked work tree that shares its board.
    """

    __slots__ = ("own", "root")

    def __init__(self, root: str, own: str) -> None:
        self.root = os.path.realpath(root)
        self.own = os.path.realpath(own)

    def paths(self, given: Iterable[str]) -> list[str]:
        """What a client gave, as the services want it: relative to the root, or absolute."""
        return [self._path(path) for path in given]

    def _path(self, path: str) -> str:
        if self.own != self.root and (path == self.own or path.startswith(f"{self.own}/")):
            return f"{self.root}{path[len(self.own) :]}"
        return path


FOLDER_VARIABLE = "CLAUDE_PROJECT_DIR"


def find(named: str | None, offered: Iterable[str], folders: Sequence[str]) -> Project:
    """The project of a server.

    Args:
        named: What --root says.
        offered: The client's roots, as URIs.
        folders: Where to look after that, the current folder last.

    Raises:
        UsageError: There is none.
    """
    if named is not None:
        if not os.path.isdir(named):
            raise UsageError(f"--root {named!r} is no folder", hint="name an existing folder")
        return Project(named, named)
    for folder in filter(None, [*map(folder_of, offered), *folders]):
        if project := _around(folder):
            return project
    raise UsageError(
        f"no project here: neither data/.agent_locks nor .git in {folders[-1]} or above it",
        hint="make one there with `latchboard init`, or start the server with --root FOLDER",
    )


def _around(folder: str) -> Project | None:
    from latchboard.compose.finding import find_root
    from latchboard.host.root import root_of

    if not os.path.isdir(folder):
        return None
    root = find_root(folder)
    signs = ("data/.agent_locks", ".git")
    return Project(root, root_of(folder)) if any(os.path.exists(f"{root}/{sign}") for sign in signs) else None


def folder_of(uri: str) -> str:
    """The folder that a file URI names; "" when it is none of this machine."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(uri)
        path = unquote(parts.path, errors="surrogateescape")
    except ValueError:
        return ""
    is_here = parts.scheme == "file" and parts.netloc in ("", "localhost")
    return path if is_here and path.startswith("/") and "\0" not in path else ""
