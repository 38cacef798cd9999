"""Hook folder: the folder that git runs a repository's hooks from, and the files in it.

A file there is replaced whole, by a rename. Killed at any moment, the repository has the old hook or the new one.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

import os
from copy import copy

from latchboard.errors import UsageError, from_os_error
from latchboard.host.git import GitFailed, ask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_MODE = 0o755
_TEMPORARY = ".latchboard.tmp"


class HookFolder:
    """The hooks of the repository that `folder` is in: installation's port `Hooks`.

    Attributes:
        path: Where they are, absolute; it may be missing.
        is_private: It is in the repository's own folder, which no other machine reads.
        is_shared: It is neither there nor in the work tree (core.hooksPath): other repositories may use it.

    Raises:
        GitFailed: It is no repository.
        UsageError: The repository has no work tree.
    """

    def __init__(self, folder: str) -> None:
        where = os.path.realpath(folder)
        try:
            is_bare = _ask(where, "--is-bare-repository") == "true"
        except GitFailed as exc:
            raise GitFailed(f"{where} is in no git repository", hint="git init") from exc
        if is_bare:
            raise UsageError(f"{where} is a bare repository: nobody commits in it", hint="install in a work tree of it")
        top = _ask(where, "--show-toplevel")
        common = os.path.realpath(os.path.join(top, _ask(top, "--git-common-dir")))
        self.path = os.path.realpath(os.path.join(top, _ask(top, "--git-path", "hooks")))
        self.is_private = f"{os.sep}.git{os.sep}" in f"{self.path}{os.sep}"
        self.is_shared = not any(f"{self.path}/".startswith(f"{inside}/") for inside in (common, top))
        self._own = os.path.realpath(f"{common}/hooks")

    def own(self) -> HookFolder | None:
        """See installation/port.py."""
        if self.path == self._own:
            return None
        found = copy(self)
        found.path, found.is_private, found.is_shared = self._own, True, False
        return found

    def exists(self) -> bool:
        """Whether the folder is there."""
        return os.path.isdir(self.path)

    def make(self) -> None:
        """Make the folder."""
        self._try(lambda: os.makedirs(self.path, exist_ok=True), self.path)

    def is_empty(self) -> bool:
        """Whether the folder is there, and nothing in it."""
        return self.exists() and not os.listdir(self.path)

    def remove(self) -> None:
        """Remove the folder, which is empty."""
        self._try(lambda: os.rmdir(self.path), self.path)

    def has(self, name: str) -> bool:
        """Whether something of that name is there."""
        return os.path.lexists(self._at(name))

    def is_same(self, one: str, other: str) -> bool:
        """Whether two names, both there, are one file."""
        return os.path.samestat(os.lstat(self._at(one)), os.lstat(self._at(other)))

    def can_be_run(self, name: str) -> bool:
        """Whether git would run it."""
        return os.access(self._at(name), os.X_OK)

    def read(self, name: str) -> bytes:
        """A file's content; empty where there is none, or none that can be read."""
        try:
            with open(self._at(name), "rb") as file:
                return file.read()
        except OSError:
            return b""

    def write(self, name: str, data: bytes) -> None:
        """Put a hook there, the whole file or, whatever happens, the old one."""

        def replace() -> None:
            self._sweep(name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(self._at(name) + _TEMPORARY, flags, _MODE)
            with open(fd, "wb") as file:
                file.write(data)
                os.fchmod(fd, _MODE)
            os.rename(self._at(name) + _TEMPORARY, self._at(name))

        self._try(replace, self._at(name))

    def keep(self, name: str, kept: str) -> None:
        """Give a hook its second name: it stays under the first one until another is renamed over it."""
        self._try(lambda: _link_or_copy(self._at(name), self._at(kept)), self._at(kept))

    def rename(self, old: str, new: str) -> None:
        """Put a file in the place of another."""
        self._try(lambda: os.rename(self._at(old), self._at(new)), self._at(new))

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._try(lambda: os.unlink(self._at(name)), self._at(name))

    def sweep(self, name: str) -> None:
        """Remove what a killed `write` left behind."""
        self._try(lambda: self._sweep(name), self._at(name))

    def _sweep(self, name: str) -> None:
        if self.has(name + _TEMPORARY):
            os.unlink(self._at(name) + _TEMPORARY)

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _try(self, do: Callable[[], T], path: str) -> T:
        try:
            return do()
        except OSError as exc:
            raise from_os_error(exc, "write", path) from exc


def _link_or_copy(path: str, kept: str) -> None:
    if os.path.lexists(kept):
        return
    try:
        os.link(path, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without hard links, or without those of symbolic links
        import shutil

        shutil.copy2(path, f"{kept}.tmp", follow_symlinks=False)
        os.rename(f"{kept}.tmp", kept)


def _ask(folder: str, *words: str) -> str:
    """One answer of `git rev-parse` for a folder, whatever repository a hook that calls us runs in."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return os.fsdecode(ask("-C", folder, "rev-parse", *words, environment=environment)).removesuffix("\n")
