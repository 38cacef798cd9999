"""State: the record of the daemon that was made ready last, and the token; two files beside the singletons'.

Law 1. Only whoever ensures that a daemon runs writes the record, in its turn (`daemon.turn`); a daemon reads it.
Law 2. It is replaced whole, by a rename. What cannot be read says nothing: it is no daemon, and no reason to retire.
Law 3. The token is made once, for its user alone, and kept over restarts, so that an open page goes on.

Protocol: protocol/health.md, "State record".
"""

from __future__ import annotations

import os
import secrets

from latchboard.codec import decode, encode
from latchboard.errors import from_os_error
from latchboard.host.registry import FOLDER
from latchboard.host.secret_file import SecretFile
from latchboard.rules import serving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RECORD, TOKEN, LOG, TURN = "serve.state", "serve.token", "serve.log", "serve.turn"
"""Names in the registry. None of them can be the entry of an agent type, which end in lock, pid or json."""
RECORD_BYTES_MAX = 64 * 1024
_TOKEN_BYTES = 32
_TOKEN_DIGITS = frozenset("0123456789abcdef")
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class RecordFile:
    """A small JSON record in the registry that one process at a time writes, and anybody reads.

    Args:
        root: The project's folder, absolute.
        name: Of the file.
    """

    __slots__ = ("path",)

    def __init__(self, root: str, name: str) -> None:
        self.path = f"{root}/{FOLDER}/{name}"

    def read_value(self) -> Any:
        """What it says; None: there is none, or it is no JSON. Never raises for what may stand there."""
        data = self.read_bytes()
        try:
            return None if data is None else decode(data)
        except ValueError:
            return None

    def read_bytes(self) -> bytes | None:
        """As it is; None: there is none. b"": what stands there cannot be read."""
        try:
            fd = os.open(self.path, os.O_RDONLY | _SAFE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            return b""
        try:
            data = os.read(fd, RECORD_BYTES_MAX + 1)
        except OSError:  # a folder
            return b""
        finally:
            os.close(fd)
        return data if len(data) <= RECORD_BYTES_MAX else b""

    def write_value(self, value: Any) -> None:
        """Replace it whole. Only in one's turn.

        Raises:
            StoreError: It is what it was.
        """
        temporary = f"{self.path}.tmp"
        try:
            _remove(temporary)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o644)
            try:
                os.write(fd, encode(value).encode() + b"\n")
            finally:
                os.close(fd)
            os.replace(temporary, self.path)
        except OSError as exc:
            raise from_os_error(exc, "write", self.path) from exc

    def remove(self) -> None:
        """Take it away. Only in one's turn.

        Raises:
            StoreError: It is still there.
        """
        try:
            _remove(self.path)
        except OSError as exc:
            raise from_os_error(exc, "remove", self.path) from exc


class StateFile(RecordFile):
    """The record of one project's daemon.

    Args:
        root: The project's folder, absolute.
    """

    __slots__ = ()

    def __init__(self, root: str) -> None:
        super().__init__(root, RECORD)

    def read(self) -> serving.State | None:
        """What it says; None: there is none, or it says nothing. Never raises for what may stand there."""
        value = self.read_value()
        return None if value is None else serving.parse_state(value)

    def write(self, state: serving.State) -> None:
        """Replace it whole. Only in one's turn.

        Raises:
            StoreError: It is what it was.
        """
        self.write_value(state.to_json())


class Token:
    """What a change through the daemon must show: 256 random bits, known to the project's user alone.

    Args:
        root: The project's folder, absolute.
        make_folder: Makes the registry where it is missing, kept out of version control.
    """

    __slots__ = ("_file", "_make_folder")

    def __init__(self, root: str, make_folder: Callable[[], None]) -> None:
        self._file = SecretFile(f"{root}/{FOLDER}/{TOKEN}")
        self._make_folder = make_folder

    def read(self) -> str | None:
        """The token, 64 hexadecimal digits; None: there is none.

        Raises:
            StoreError: The file must not be trusted: others can read it, or own it.
        """
        data = self._file.read()
        text = "" if data is None else data.strip().decode("ascii", "replace")
        return text if len(text) == 2 * _TOKEN_BYTES and _TOKEN_DIGITS.issuperset(text) else None

    def ensure(self) -> str:
        """The token, made where there is none, or none that can be one.

        Raises:
            StoreError: It can be neither read nor made.
        """
        token = self.read()
        if token is None:
            self._make_folder()
            self._file.replace(_new_token, still=lambda: self.read() is None)
            token = self.read()
        if token is None:
            raise AssertionError("a token that was made is there")
        return token


def _new_token() -> bytes:
    return secrets.token_hex(_TOKEN_BYTES).encode() + b"\n"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
