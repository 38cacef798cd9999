"""Glance: a store that is only looked at: no guard is taken, nothing is opened for writing, nothing is made.

For the doctor, who must change nothing, not even for a moment who holds which lock, and must not wait for a guard that
somebody has for ever. What it reads is of one revision where nobody committed meanwhile (`is_settled`); else each
record is true by itself, and whoever draws conclusions from several draws them twice.

Protocol: protocol/store.md, "Reading".
"""

from __future__ import annotations

import os

from latchboard.errors import ProtocolError, UsageError
from latchboard.store.files import guard, layout, snapshot
from latchboard.store.files.folder import Folder
from latchboard.store.files.view import properties_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from latchboard.settings import Settings
    from latchboard.store.files.snapshot import FileSnapshot

_TRIES = 4


class Glance:
    """The store port, reading alone.

    Attributes:
        is_settled: Whether all that was read so far was of one revision each time.
    """

    __slots__ = ("_path", "is_settled", "properties")

    def __init__(self, path: str, settings: Settings) -> None:
        """The store in the folder `path`; nothing is opened yet."""
        self._path = path
        self.is_settled = True
        self.properties = properties_of(settings)

    def read(self, *wanted: str) -> FileSnapshot:
        """Keys and collections, of one revision if that can be had in a few tries.

        Raises:
            StoreError, ProtocolError: As the store itself.
        """
        try:
            folder = Folder(self._path, mode=0o600, writing=False)
        except FileNotFoundError as exc:
            if os.path.exists(f"{self._path}/{layout.FORMAT}"):
                raise ProtocolError(f"{self._path} has lost its guard") from exc
            return snapshot.FileSnapshot(0).load(None, wanted)
        try:
            for _ in range(_TRIES):
                before = guard.peek_header(folder.guard)
                found = snapshot.read_many(folder, wanted)
                if _stands_still(folder, before):
                    return found
            self.is_settled = False
            return found
        finally:
            folder.close()

    def _refuse(self) -> NoReturn:
        raise UsageError("this store is only looked at")

    def transact(self, *arguments: object, **options: object) -> Any:
        """Refused."""
        self._refuse()

    def watch(self, *arguments: object, **options: object) -> Any:
        """Refused."""
        self._refuse()

    def bell(self, *arguments: object, **options: object) -> Any:
        """Refused."""
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""


def _stands_still(folder: Folder, before: guard.Header | None) -> bool:
    """Whether nobody has committed since `before`, or is at it: what a dead writer left counts as somebody."""
    after = guard.peek_header(folder.guard)
    if before is None or after is None:
        return before is after
    is_even = folder.journal < 0 or os.fstat(folder.journal).st_size == before.applied
    return is_even and before.pack() == after.pack()
