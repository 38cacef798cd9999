"""Container: what this process can see of where it runs. Facts alone; `rules/container.py` judges them.

Never raises: what cannot be read is absent.

Protocol: protocol/daemon.md, "Container".
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from latchboard.host.port import Surroundings

CONFIG_FOLDER = "data/.agent_locks"
ENVIRONMENT_FOLDERS = (".venv", "venv", ".devcontainer", "data")
"""Where a project keeps what belongs to its surroundings: a socket there is one point."""
_ENTRIES_COUNT_MAX = 500
_FILE_BYTES_MAX = 64 * 1024


def surroundings(root: str, environment: Mapping[str, str] | None = None, *, top: str = "/") -> Surroundings:
    """Everything that speaks for or against a container.

    Args:
        root: The project's folder.
        environment: Instead of this process's own.
        top: Instead of the root of the file system, for tests; ends in a slash.
    """
    return {
        "root": root,
        "has_config_folder": os.path.isdir(os.path.join(root, CONFIG_FOLDER)),
        "has_socket": any(_has_socket(os.path.join(root, name)) for name in ENVIRONMENT_FOLDERS),
        "uid": os.getuid() if hasattr(os, "getuid") else None,
        "environment": dict(os.environ if environment is None else environment),
        "init_environment": _variables(_read(f"{top}proc/1/environ")),
        "has_dockerenv": os.path.lexists(f"{top}.dockerenv"),
        "has_containerenv": os.path.lexists(f"{top}run/.containerenv"),
        "cgroups": sorted({line for who in ("self", "1") for line in _lines(_read(f"{top}proc/{who}/cgroup"))}),
    }


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except OSError:
        return b""


def _lines(data: bytes) -> list[str]:
    return [line for line in os.fsdecode(data).split("\n") if line]


def _variables(data: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in data.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def _has_socket(folder: str) -> bool:
    """Whether a socket lies in the folder or one level below it; a large folder is not read to its end."""
    for count, path in enumerate(_entries(folder)):
        if count >= _ENTRIES_COUNT_MAX:
            return False
        try:
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                return True
        except (OSError, ValueError):
            continue
    return False


def _entries(folder: str) -> Iterator[str]:
    below = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                yield entry.path
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
    except (OSError, ValueError):
        return
    for name in below:
        try:
            with os.scandir(name) as found:
                yield from (entry.path for entry in found)
        except OSError:
            continue
