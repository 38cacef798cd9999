"""Compiled: whether Python finds this package's modules compiled, and what compiles them.

A hook is a process for each call of an agent, and loads half a hundred modules. Compiling them takes four times as long
as all the rest of it. pip compiles what it installs; other installers leave it to the first run, and where the user may
not write, that is every run.

Law 1. Compiled is what Python itself would load: of this interpreter, for a source of this time and size.
Law 2. What is compiled here goes where Python looks for it, whatever PYTHONDONTWRITEBYTECODE says of imports, whole or
not at all.
"""

from __future__ import annotations

import os
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HEAD_BYTES = 16
_HASHED = 1
EVERY_HOOK = (
    "__init__",
    "compose/__init__",
    "editing/service",
    "host/system",
    "locks/service",
    "rules/lock",
    "store/files/store",
    "surface/hooks/__init__",
    "surface/hooks/entry",
    "surface/hooks/finder",
    "surface/hooks/handling",
)
"""Some of what every hook loads, of every folder: an installer compiles all of a package or nothing."""


class Compiled:
    """The compiled files of this package.

    Attributes:
        folder: Where the package is.
    """

    __slots__ = ("folder",)

    def __init__(self, folder: str = _PACKAGE) -> None:
        self.folder = folder

    def lacks_hooks(self) -> bool:
        """Whether every hook compiles what it loads."""
        return any(self._is_missing(f"{self.folder}/{name}.py") for name in EVERY_HOOK)

    def missing(self) -> list[str]:
        """The sources that Python would compile before it runs them; none where they are no files (an archive)."""
        found = []
        for folder, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            found += [f"{folder}/{name}" for name in sorted(names) if name.endswith(".py")]
        return [source for source in found if self._is_missing(source)]

    def can_be_kept(self, sources: Iterable[str]) -> bool:
        """Whether this process may write every compiled file."""
        folders = {os.path.dirname(cache_from_source(source)) for source in sources}
        return all(_may_write(folder) for folder in folders)

    def compile(self, sources: Iterable[str]) -> list[str]:
        """Compile sources; those that could not be, with the reason."""
        from py_compile import PycInvalidationMode, PyCompileError, compile

        failed = []
        for source in sources:
            try:
                # By time and size, also where SOURCE_DATE_EPOCH asks for hashes, which cost each start a look at them.
                compile(source, doraise=True, invalidation_mode=PycInvalidationMode.TIMESTAMP)
            except (OSError, PyCompileError) as exc:
                failed.append(f"{source}: {getattr(exc, 'strerror', None) or exc}")
        return failed

    def command(self) -> list[str]:
        """What whoever may write there runs by hand."""
        return [sys.executable, "-m", "compileall", "-q", self.folder]

    def _is_missing(self, source: str) -> bool:
        try:
            status = os.stat(source)
        except OSError:
            return False
        try:
            with open(cache_from_source(source), "rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            return True
        if head[:4] != MAGIC_NUMBER or len(head) < _HEAD_BYTES:
            return True
        if head[4] & _HASHED:
            return False  # Python looks at the source's hash, or at nothing
        stamp = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
        return head[8:12] != stamp[0].to_bytes(4, "little") or head[12:16] != stamp[1].to_bytes(4, "little")


def _may_write(folder: str) -> bool:
    """Whether a folder can be written, or made."""
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)
