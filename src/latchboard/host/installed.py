"""Installed: what this machine, and the person at it, has: clients, programs, and this installation's own commands."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Installed:
    """This machine, for one process."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def at_home(self, name: str) -> bool:
        """See installation/port.py."""
        home = self._environ.get("HOME", "")
        return bool(home) and os.path.lexists(f"{home}/{name}")

    def program(self, name: str) -> str:
        """See installation/port.py."""
        import shutil

        return shutil.which(name, path=self._environ.get("PATH", "")) or ""

    def command(self, program: str, module: str) -> tuple[list[str], bool]:
        """See installation/port.py: its name, else the path of its script, else this Python with its module."""
        found = self.program(program)
        real = {os.path.realpath(folder) for folder in _own_folders()}
        if found and os.path.dirname(os.path.realpath(found)) in real:
            return [program], True
        script = self.script(program)
        return ([script] if script else [sys.executable, "-m", module]), False

    def script(self, program: str) -> str:
        """The file of a command of this installation; "" where it has none."""
        scripts = (os.path.join(folder, program) for folder in _own_folders())
        return next((script for script in scripts if os.access(script, os.X_OK)), "")

    def can_import(self, package: str) -> bool:
        """See installation/port.py."""
        from importlib.util import find_spec

        return find_spec(package) is not None


def _own_folders() -> list[str]:
    """Where an installer puts the commands of this interpreter's packages."""
    return [os.path.dirname(sys.executable), os.path.join(sys.prefix, "bin")]
