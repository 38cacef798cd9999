"""Project: real source files to edit, copied into a temporary folder.

The files are those of this package's own repository when it runs from a checkout, those of the installed package
otherwise, or those of a folder that the user names.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from latchboard.errors import UsageError

PACKAGE = Path(__file__).parents[2]

_NOT_EDITED = ("test", "surface/demo/")
_BYTES_MAX = 200_000
_BYTES_MIN = 500
_COUNT_MAX = 5_000


class Source:
    """Where the files come from.

    Attributes:
        folder: What the names are relative to.
        names: Files, sorted.
        words: What to call it: "this repository".
    """

    def __init__(self, folder: Path, names: list[str], words: str) -> None:
        self.folder = folder
        self.names = names
        self.words = words

    def copy(self, into: Path) -> None:
        """Copy every file; `into` is made."""
        for name in self.names:
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, target)

    def busy_files(self, count: int) -> list[str]:
        """The files that everybody wants to edit: the largest sources, no tests.

        Raises:
            UsageError: There is nothing to edit.
        """
        sized = [(name, (self.folder / name).stat().st_size) for name in self.names]
        fit = [
            (name, size) for name, size in sized if _BYTES_MIN <= size <= _BYTES_MAX and _is_text(self.folder / name)
        ]
        chosen = [name for name, _ in sorted(fit, key=_interest)[:count]]
        if not chosen:
            raise UsageError(f"there is no source file to edit in {self.folder}", hint="name another folder")
        return sorted(chosen)


def find_source(root: str | None = None) -> Source:
    """The files to work on.

    Args:
        root: A folder to take the files of; Latchboard's own sources when None.

    Raises:
        UsageError: It is no folder, or has too many files to copy.
    """
    if root is not None:
        folder = Path(root).resolve()
        if not folder.is_dir():
            raise UsageError(f"{root} is no folder")
        return _checked(Source(folder, _tracked(folder) or _all_files(folder), folder.name or str(folder)))
    checkout = PACKAGE.parents[1]
    names = _tracked(checkout)
    if PACKAGE.relative_to(checkout).joinpath("__init__.py").as_posix() in names:
        return _checked(Source(checkout, names, "this repository"))
    parent = PACKAGE.parent
    own = [path.relative_to(parent).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]
    return _checked(Source(parent, own, "the installed package"))


def _checked(source: Source) -> Source:
    if len(source.names) > _COUNT_MAX:
        raise UsageError(
            f"{source.folder} has {len(source.names)} files; the demo copies at most {_COUNT_MAX}",
            hint="name a smaller folder",
        )
    return source


def _tracked(folder: Path) -> list[str]:
    """The regular files that git tracks below a folder; none when there is no git or no repository."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return []
    names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return sorted(name for name in set(names) - {""} if _is_plain(folder / name))


def _all_files(folder: Path) -> list[str]:
    files = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts) and _is_plain(path):
            files.append(name.as_posix())
        if len(files) > _COUNT_MAX:
            break
    return sorted(files)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(1024)


def _interest(named: tuple[str, int]) -> tuple[bool, bool, int, str]:
    name, size = named
    is_other = any(part in name for part in _NOT_EDITED)
    return (not name.endswith(".py"), is_other, -size, name)
