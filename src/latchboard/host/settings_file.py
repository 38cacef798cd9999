"""Settings file: `latchboard.toml` as a text that people edit and a program adds a line to.

Guarantees that a file is replaced whole, keeps its mode, and that what is written is TOML and says what the old one
said. A link to a file stays a link.

Protocol: protocol/daemon.md, "Generated configuration".
"""

from __future__ import annotations

import os

from latchboard.errors import StoreBusy, UsageError, from_os_error
from latchboard.host.configuration import FILE, settings_in_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SettingsFile:
    """The file of one project.

    Args:
        root: The project's folder, absolute.
    """

    __slots__ = ("_root", "path")

    def __init__(self, root: str) -> None:
        self._root = root
        self.path = f"{root}/{FILE}"

    def read(self) -> str:
        """Its text; "" when there is none.

        Raises:
            UsageError: It is no UTF-8.
            StoreError: It cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                return file.read().decode()
        except FileNotFoundError:
            return ""
        except OSError as exc:
            raise from_os_error(exc, "read", self.path) from exc
        except UnicodeDecodeError as exc:
            raise UsageError(f"{self.path} is no UTF-8", hint="mend the file; nothing was changed") from exc

    def value_of(self, name: str) -> Any:
        """What the project's files say about one setting; None when they say nothing."""
        return settings_in_files(self._root).get(name)

    def replace(self, text: str, *, instead_of: str) -> None:
        """Put `text` in the place of `instead_of`.

        Raises:
            UsageError: It would be no TOML, or say less than before.
            StoreBusy: Somebody else changed the file meanwhile. Retryable.
            StoreError: It could not be written.
        """
        _check(self.path, text, instead_of)
        if self.read() != instead_of:
            raise StoreBusy(f"{self.path} was changed meanwhile", hint="do it again", waited_s=0.0, pids=[])
        path = os.path.realpath(self.path)
        temporary = f"{path}.{os.urandom(6).hex()}.tmp"
        try:
            mode = os.stat(path).st_mode & 0o7777 if os.path.exists(path) else 0o644
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                os.fchmod(fd, mode)
                with open(fd, "w", encoding="utf-8", newline="", closefd=False) as file:
                    file.write(text)
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except OSError as exc:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise from_os_error(exc, "write", self.path) from exc


def _check(path: str, text: str, before: str) -> None:
    import tomllib

    try:
        said, says = tomllib.loads(before), tomllib.loads(text)
    except ValueError as exc:
        raise UsageError(f"{path} would be no TOML: {exc}", hint="mend the file; nothing was changed") from exc
    if any(says.get(name) != value for name, value in said.items()):
        raise UsageError(f"{path} would lose a setting", hint="add the line by hand; nothing was changed")
