"""Project: where an event happened, and its services, opened as leanly as a process that ends at once can.

Protocol: protocol/editing.md, "Which project".
"""

from __future__ import annotations

import os

from latchboard.compose import Latchboard
from latchboard.host.configuration import read_settings
from latchboard.host.root import root_of, shared_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.settings import Settings
    from latchboard.surface.hooks.event import Event

_SIGNS = ("data/.agent_locks", ".git")


class Place:
    """Where an event happened.

    Attributes:
        own: The project's folder, or that of a linked work tree which shares the project's board.
        root: The project's folder.
        cwd: Where the agent's commands run; absolute, without symbolic links.
    """

    __slots__ = ("cwd", "own", "root")

    def __init__(self, own: str, cwd: str) -> None:
        self.own = self.root = own
        self.cwd = cwd

    def open(self, *, wait_s_max: float | None = None) -> Latchboard:
        """The project's services; `wait_s_max`: longest wait for the guard.

        Raises:
            UsageError: The project's settings cannot be right.
            StoreError: They cannot be read.
        """
        settings = read_settings(self.root)
        if settings.worktrees_shared:
            self.root = shared_root(self.own)
            settings = read_settings(self.root)
        if wait_s_max is not None and wait_s_max < settings.guard_wait_s_max:
            settings = _with_wait(settings, wait_s_max)
        return Latchboard(self.root, settings=settings, publishes=False)

    def paths(self, event: Event) -> list[str]:
        """What an event names, absolute, as `stands_for` says."""
        cwd = event.cwd or self.cwd
        return [self.stands_for(path if path[:1] == "/" else f"{cwd}/{path}") for path in event.paths]

    def stands_for(self, path: str) -> str:
        """The path of the project that an absolute path in a work tree which shares the board stands for."""
        if self.own == self.root:
            return path
        try:
            real = os.path.realpath(path)  # the way to the work tree may lead over links
        except (OSError, ValueError):
            return path
        return f"{self.root}{real[len(self.own) :]}" if real.startswith(f"{self.own}/") else path


def find(event: Event) -> Place | None:
    """The project of an event; None: there is none, and nothing to do."""
    try:
        cwd = os.path.realpath(event.cwd or os.getcwd())
    except (OSError, ValueError):
        cwd = "/"
    for start in (event.project, cwd):
        if start[:1] == "/" and "\0" not in start:
            root = root_of(start)
            if any(os.path.exists(f"{root}/{sign}") for sign in _SIGNS):
                return Place(root, cwd)
    return None


def _with_wait(settings: Settings, wait_s_max: float) -> Settings:
    from latchboard.settings import Settings

    said = {name: getattr(settings, name) for name in Settings.reasons()}
    return Settings(**{**said, "guard_wait_s_max": wait_s_max})
