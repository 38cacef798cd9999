"""Ports: the file itself, and the shelf on which it is kept what was last written to it."""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any


class File(Protocol):
    """One file, in one folder."""

    path: str

    def read(self) -> bytes | None:
        """Its bytes; None: there is none. Raises UsageError (no plain file, too large), StoreError."""

    def write(self, data: bytes, *, instead_of: bytes | None) -> None:
        """Replace it whole in one step, if it is what it was. Raises StoreBusy (it is not), UsageError, StoreError."""

    def mark(self) -> tuple[int, ...]:
        """What changes whenever the file does; empty: there is none."""


class Shelf(Protocol):
    """What was last written to one file."""

    def turn(self, wait_s_max: float) -> AbstractContextManager[None]:
        """One process at a time is at the file. Raises StoreBusy."""

    def load(self, data: bytes | None) -> list[dict[str, Any]]:
        """What was last written, for a file of these bytes; two where it is not known which; none: nothing is known."""

    def note(self, written: dict[str, Any], data: bytes, *, unwritten: dict[str, Any] | None) -> None:
        """Say what is about to be written; `settle` says that it was. `unwritten`: what the file says until then."""

    def settle(self) -> None:
        """What was noted has been written."""

    def seen(self) -> tuple[tuple[int, ...], int]:
        """The file's mark after it was last written, and the revision that it shows; nothing is known: `((), 0)`."""

    def see(self, mark: tuple[int, ...], revision: int) -> None:
        """Keep them."""
