"""Ports of an installation: the project's files, the shelf where old ones are kept, this machine, git's hooks.

Everything here is for type checkers; at run time a port is any object with these methods.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    class Files(Protocol):
        """The files of one project, by names relative to it."""

        def read(self, name: str) -> bytes | None:
            """A file's bytes; None for no file.

            Raises:
                UsageError: It must not be changed: a link, a folder, a device, read-only, or too large; says which.
                StoreError: It cannot be read.
            """
            ...

        def write(self, name: str, data: bytes, *, instead_of: bytes | None) -> None:
            """Put `data` in the place of `instead_of`, in one step; folders on the way are made.

            Raises:
                UsageError: As `read`.
                StoreError: It cannot be written, or was changed meanwhile.
            """
            ...

        def delete(self, name: str, *, instead_of: bytes) -> None:
            """Remove the file. Raises as `write`."""
            ...

        def prune(self, folders: tuple[str, ...]) -> None:
            """Remove those of the folders, the outermost first, that are empty."""
            ...

        def missing_folders(self, name: str) -> tuple[str, ...]:
            """The folders that `write` would make, the outermost first."""
            ...

        def has(self, name: str) -> bool:
            """Whether something lies there."""
            ...

        def link_to(self, name: str) -> str:
            """The file of the project that a symbolic link leads to; "" where it is none, or leads elsewhere."""
            ...

        def is_in_git(self) -> bool:
            """Whether the project is in a git work tree."""
            ...

        def has_repository(self) -> bool:
            """Whether it is one itself, so that its git hooks are the project's."""
            ...

    class Shelf(Protocol):
        """What was installed, and the bytes from before."""

        def turn(self) -> AbstractContextManager[None]:
            """While it is entered, no other process installs here. May be entered again inside.

            Raises:
                StoreBusy: Another process did not end its own in time.
            """
            ...

        def load(self) -> dict[str, Any]:
            """What `save` was given last; empty for nothing, or nothing that can be read."""
            ...

        def save(self, record: dict[str, Any]) -> None:
            """Keep it, in one step."""
            ...

        def keep(self, data: bytes) -> str:
            """Keep bytes; the name to fetch them by."""
            ...

        def fetch(self, name: str) -> bytes | None:
            """Bytes that were kept, None where they are lost or are others."""
            ...

        def forget_all_but(self, names: set[str]) -> None:
            """Remove what was kept under other names."""
            ...

    class Machine(Protocol):
        """What this machine, and the person at it, has."""

        def at_home(self, name: str) -> bool:
            """Whether something of that name lies in the home folder."""
            ...

        def program(self, name: str) -> str:
            """Where a program is found on PATH; "" for nowhere."""
            ...

        def command(self, program: str, module: str) -> tuple[list[str], bool]:
            """How a program of this installation is called, and whether its bare name is enough."""
            ...

        def can_import(self, package: str) -> bool:
            """Whether a package is installed here."""
            ...

    class Hooks(Protocol):
        """The folder that git runs a repository's hooks from. Whatever writes raises StoreError where it cannot.

        Attributes:
            path: Where it is; it may be missing.
            is_private: No other machine reads it.
            is_shared: Other repositories may use it.
        """

        path: str
        is_private: bool
        is_shared: bool

        def own(self) -> Hooks | None:
            """The repository's own folder, where it is another one (core.hooksPath): git did run hooks from there."""
            ...

        def exists(self) -> bool:
            """Whether the folder is there."""
            ...

        def is_empty(self) -> bool:
            """Whether it is there, and nothing in it."""
            ...

        def make(self) -> None:
            """Make the folder."""
            ...

        def remove(self) -> None:
            """Remove the folder, which is empty."""
            ...

        def has(self, name: str) -> bool:
            """Whether something of that name is there."""
            ...

        def is_same(self, one: str, other: str) -> bool:
            """Whether two names, both there, are one file."""
            ...

        def can_be_run(self, name: str) -> bool:
            """Whether git would run it."""
            ...

        def read(self, name: str) -> bytes:
            """A file's content; empty where there is none, or none that can be read."""
            ...

        def write(self, name: str, data: bytes) -> None:
            """Put a hook there, the whole file or, whatever happens, the old one."""
            ...

        def keep(self, name: str, kept: str) -> None:
            """Give a hook its second name: it stays under the first one until another is written over it."""
            ...

        def rename(self, old: str, new: str) -> None:
            """Put a file in the place of another."""
            ...

        def delete(self, name: str) -> None:
            """Remove a file."""
            ...

        def sweep(self, name: str) -> None:
            """Remove what a killed `write` left behind."""
            ...
