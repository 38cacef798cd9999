"""Shell, the service: which of other agents' files a command line would write, before it runs.

The text says what is plain (rules/shell.py); what only the disk or git can tell is asked of them, and only then.
Nothing is changed here; `Editing.begin` takes what a command line names.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord, UsageError
from latchboard.rules import pattern
from latchboard.rules.shell import writes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from latchboard.locks import Locks
    from latchboard.rules.shell import Write

    class Disk(Protocol):
        """What has to be looked at (host/expansion.py)."""

        def is_folder(self, path: str) -> bool:
            """Whether there is a folder."""
            ...

        def expand(self, pattern: str) -> list[str]:
            """The files that a pattern finds."""
            ...

    class Git(Protocol):
        """What has to be asked of git (host/git_forecast.py)."""

        def forecast(self, kind: str, cwd: str, words: tuple[str, ...]) -> list[str]:
            """The files that a command of git would write, absolute."""
            ...


class Shell:
    """Foresees what command lines write. Threads may share one; it remembers nothing."""

    __slots__ = ("_disk", "_git", "_locks")

    def __init__(self, locks: Locks, disk: Disk, git: Git) -> None:
        self._locks = locks
        self._disk = disk
        self._git = git

    def writes(self, command: str, cwd: str, stands_for: Callable[[str], str] = str) -> list[str]:
        """The locked files that a command line would write: for `Editing.blocked`, which says who holds them.

        Args:
            command: The text that a shell will be given.
            cwd: The folder of the call, absolute.
            stands_for: The project's path for one of a work tree that shares its board. What git does there is done
                to the work tree's own files, and stands for nothing else.

        Returns:
            Canonical names, of those alone that anybody has a lock on, or on something that covers them.
        """
        found = writes(command, cwd)
        if not found:
            return []
        damaged: list[MalformedRecord] = []
        records = self._locks.store.read("locks/").scan("locks/", damaged=damaged)
        locked = {key[len("locks/") :]: pattern.is_wide(key[len("locks/") :]) for key, _ in records}
        if not locked and not damaged:
            return []  # then git need not be asked either
        names: dict[str, None] = {}
        for write in found:
            for path in self._paths(write):
                try:
                    name = self._locks.tree.canonical(path if write.kind.startswith("git-") else stands_for(path))
                except UsageError:
                    continue  # no file can have that name
                # Nobody knows what a damaged record is of: then every name is asked about.
                if damaged or name in locked or any(pattern.overlap(name, one) for one in self._wide(name, locked)):
                    names[name] = None
        return list(names)

    def files(self, command: str, cwd: str) -> list[str]:
        """The files that a command line plainly writes by their names, for `Editing.begin`, which takes them.

        What a pattern or a folder stands for is not taken: that can be the whole project.
        """
        found = []
        for write in writes(command, cwd):
            if write.kind in ("path", "dest") or (write.kind == "tree" and not self._disk.is_folder(write.path)):
                found += self._paths(write)
        return found

    def of_git(self, command: str, cwd: str) -> list[str]:
        """The files that git would write, for as long as the call lasts; none where they are too many for a request."""
        kinds = [write for write in writes(command, cwd) if write.kind.startswith("git-")]
        found = [path for write in kinds for path in self._paths(write)]
        return found if len(found) <= self._locks.settings.names_count_max else []

    @staticmethod
    def _wide(name: str, locked: dict[str, bool]) -> Iterator[str]:
        """What a name has to be compared with, besides itself."""
        is_wide = pattern.is_wide(name)
        return (one for one, covers in locked.items() if covers or is_wide)

    def _paths(self, write: Write) -> list[str]:
        if write.kind.startswith("git-"):
            return self._git.forecast(write.kind, write.path, write.words)
        if write.kind == "glob":
            return self._disk.expand(write.path)
        if write.kind == "tree":
            return [write.path]
        path = write.path
        if write.kind == "dest" and self._disk.is_folder(path):
            path = f"{path.rstrip('/')}/{write.leaf}" if write.leaf else ""
        # Into a folder nothing can be written as into a file: the command will fail, or knows more than its text says.
        return [] if not path or self._disk.is_folder(path) else [path]
