"""Desk, the port of singletons: lock files and entries in one folder, and what is done when this process ends.

Everything here is for type checkers; `latchboard.host.registry` and `latchboard.host.ending` are it on this machine.

Protocol: protocol/singleton.md, "Files".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Protocol

    class Seat(Protocol):
        """A kernel lock that this process holds until it leaves, or ends, however it ends."""

        epoch: int

        @property
        def is_held(self) -> bool:
            """Whether this very process still has it: not a forked child, not after every descriptor was closed."""
            ...

        def leave(self) -> None:
            """Give it up; harmless when repeated."""
            ...

    class Desk(Protocol):
        """The folder while its guard is held: nobody else looks at a lock or changes an entry meanwhile."""

        def names(self) -> list[str]: ...
        def sit(self, name: str, epoch: int) -> Seat | None:
            """Take the lock of a file, made if it is missing; None: another process holds it."""
            ...

        def is_free(self, name: str) -> bool:
            """Whether nobody holds the lock of a file; makes none."""
            ...

        def read(self, name: str) -> bytes | None:
            """None: there is no such file. b"": there is one, and it cannot be read."""
            ...

        def write(self, name: str, data: bytes) -> None:
            """Replace a file whole, or change nothing."""
            ...

        def scribble(self, name: str, data: bytes) -> None:
            """Write a file in its place; who is killed meanwhile may leave it damaged."""
            ...

        def remove(self, name: str) -> None: ...

    class Registry(Protocol):
        """The folder."""

        path: str

        def at_desk(self, *, make: bool) -> AbstractContextManager[Desk | None]:
            """Under the guard. None: there is no folder, and none is to be made."""
            ...

        def pids_at(self, name: str) -> list[int]:
            """Who holds the lock of a file, as far as the kernel tells."""
            ...

    class Ending(Protocol):
        """The end of this process."""

        def at_end(self, action: Callable[[], object]) -> int:
            """Do it when this process ends, by itself or by a signal that can be caught; the answer names it."""
            ...

        def never_mind(self, number: int) -> None:
            """Do not do it after all."""
            ...
