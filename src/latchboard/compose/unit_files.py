"""Unit files: the service units of a project, put together for this user and this machine."""

from __future__ import annotations

import os
import plistlib
import shutil

from latchboard.errors import CoordinationError, UsageError
from latchboard.host.configuration import read_tables
from latchboard.host.installed import Installed
from latchboard.host.project_file import ProjectFiles
from latchboard.host.user_manager import Launchd, Systemd, home_of
from latchboard.rules import supervision, unit, worker_role
from latchboard.units import Units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latchboard.compose import Latchboard


def build(board: Latchboard, manager: str | None, environ: Mapping[str, str] = os.environ) -> Units:
    """The units of one project; nothing is opened.

    Args:
        board: The project.
        manager: `systemd` or `launchd`; None: the one that is here.
        environ: Where the user's folders are.

    Raises:
        UsageError: Neither is here, or this installation has no command that a unit could start.
    """
    if manager is None:
        manager = "systemd" if _has("systemctl") else "launchd" if _has("launchctl") else ""
    if not manager:
        raise UsageError(
            "no service manager is here: neither systemctl nor launchctl",
            hint="`latchboard agents start` keeps workers running without one",
        )
    home = home_of(environ)
    chosen = Systemd(environ) if manager == "systemd" else Launchd(environ)
    return Units(
        board.root,
        files=ProjectFiles(os.path.realpath(chosen.folder)),
        manager=chosen,
        home=home,
        folder=_folder(board.root, home),
        dump=plistlib.dumps,
    )


def workers(board: Latchboard, *, is_lenient: bool = False) -> dict[str, tuple[int, float]]:
    """Of each configured role: how many workers, and how long one drains, seconds.

    Raises:
        UsageError: A role is wrong, or cannot have a unit; `is_lenient`: that one is left out, or all of them where
            the configuration cannot be read, for what is installed goes all the same.
    """
    found: dict[str, tuple[int, float]] = {}
    try:
        tables = read_tables(board.root, "roles")
    except CoordinationError:
        if not is_lenient:
            raise
        return found
    for name in tables:
        try:
            role = worker_role.read(name, tables)
            if name == unit.BOARD:
                raise UsageError(f"the unit of a role {name} would be the daemon's", hint="give the role another name")
        except UsageError:
            if not is_lenient:
                raise
            continue
        found[name] = (role.workers, role.stop_s)
    return found


def roles(board: Latchboard, named: Sequence[str]) -> list[str]:
    """The named ones, all of which are configured; else the five founding ones, and those that are configured.

    Raises:
        UsageError: A named one has no command.
    """
    tables = read_tables(board.root, "roles")
    if named:
        return [worker_role.read(role, tables).name for role in dict.fromkeys(named)]
    return list(dict.fromkeys([*supervision.ROLES, *tables]))


def _folder(root: str, home: str) -> str:
    """Where `latchboard` lies, if units do not look there; "" if they do.

    Raises:
        UsageError: This installation has no such command.
    """
    script = Installed().script("latchboard")
    if not script:
        raise UsageError(
            "this installation has no command `latchboard` that a unit could start",
            hint="install it with `uv tool install latchboard` or `pipx install latchboard`",
        )
    looked = (f"{home}/.local/bin", f"{root}/.venv/bin", "/usr/local/bin", "/usr/bin", "/bin")
    real = os.path.realpath(script)
    is_found = any(os.path.realpath(f"{folder}/latchboard") == real for folder in looked)
    return "" if is_found else os.path.dirname(script)


def _has(tool: str) -> bool:
    return shutil.which(tool) is not None
