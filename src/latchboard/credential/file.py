"""File store: a credential in a file of its own, mode 0600, replaced whole.

Protocol: protocol/credential.md, "File".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from latchboard.credential.grant import decode_if_any, encode
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from latchboard.credential.grant import Grant
    from latchboard.rules.credential import Version

    class Bytes(Protocol):
        """What keeps the bytes: host/secret_file.py."""

        path: str

        def read(self) -> bytes | None:
            """All of them; None: there are none."""
            ...

        def replace(self, make: Callable[[], bytes], *, still: Callable[[], bool]) -> bool:
            """Compare and replace, as one step."""
            ...


class FileCredentialStore:
    """A `CredentialStore` in a file."""

    __slots__ = ("_file", "where")

    def __init__(self, file: Bytes) -> None:
        self._file = file
        self.where = file.path

    def load(self) -> Grant | None:
        """As the port says."""
        return decode_if_any(self._file.read(), self.where)

    def replace(self, grant: Grant, *, expected: Version | None) -> bool:
        """As the port says; the file is flushed to the disk."""

        def is_expected() -> bool:
            found = self.load()
            if found is None or expected is None:
                return found is None and expected is None
            return rules.is_same(expected, found.face)

        return self._file.replace(lambda: encode(grant), still=is_expected)
