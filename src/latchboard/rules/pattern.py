"""Pattern: what a lock name stands for, and whether two names can hold the same path.

A name is a file (`src/a.py`), a folder (`src/`, the root is `./`), a glob (`glob:src/**/*.py`) or a hard link
(`hardlink:<dev>-<ino>`). Folders and globs are the wide names.

Law 1. An overlap is never missed: where one path is inside both names, the answer is True.
Law 2. What cannot be read, or would take too much work, overlaps every path: it is never "free".

Guarantees an exact answer between files and folders, and what `rules/wildcard.py` says for globs. Does not know the
file system: links, case, and an absolute folder that holds the root (it is taken under its own name and as `./`) are
resolved by whoever makes the names.

Protocol: protocol/lock.md, "Overlap".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal


def kind(name: str) -> Literal["file", "folder", "glob", "hardlink"]:
    """What `name` stands for. A file or folder whose path starts like a glob or a hard link is written `./glob:...`."""
    if name.startswith("glob:"):
        return "glob"
    if name.startswith("hardlink:"):
        return "hardlink"
    return "folder" if name.endswith("/") else "file"


def is_wide(name: str) -> bool:
    """Whether `name` can hold more than one path: a folder or a glob."""
    return name.startswith("glob:") or (name.endswith("/") and not name.startswith("hardlink:"))


def overlap(a: str, b: str) -> bool:
    """Whether one path can be inside both names; when in doubt, True.

    A folder holds everything beneath it and its own path. Absolute names are outside the root: `./` and globs do not
    hold them, and only the folder `/` holds both. A hard link overlaps itself alone: the path that is locked beside it
    meets the folders and globs.

    Protocol: protocol/lock.md, "Overlap".
    """
    if a == b:
        return True
    if a.startswith("glob:"):
        return _glob_meets(a, b)
    if b.startswith("glob:"):
        return _glob_meets(b, a)
    if a.endswith("/"):
        return _folder_holds(a, b) or (b.endswith("/") and _folder_holds(b, a))
    return b.endswith("/") and _folder_holds(b, a)


def covers(name: str, other: str) -> bool:
    """Whether every path inside `other` is inside `name` as well; of two patterns, or when in doubt, False."""
    if name == other:
        return True
    if other.startswith("glob:"):
        return name == "./" or _is_rooted_in(name, other[len("glob:") :])
    if name.startswith("glob:"):
        return not is_wide(other) and _glob_meets(name, other)
    return name.endswith("/") and _folder_holds(name, other)


def beginning(name: str) -> str:
    """What every file inside a folder or glob begins with, up to a slash; "": it may be anywhere.

    But for the folder's own path, which has not the slash. Other folders and globs may overlap it however they begin.
    """
    if not name.startswith("glob:"):
        return "" if name in ("./", "/") else name
    from latchboard.rules import wildcard

    glob = name[len("glob:") :]
    try:
        if wildcard.canonical(glob) != glob:
            return ""  # nobody has made this name so: no guess at how it is read
    except ValueError:
        return ""  # it holds everything
    if "/" not in glob[:-1]:
        return ""  # it matches at any depth
    path = glob.removeprefix("/")
    plain = min((at for sign in "*?[\\" if (at := path.find(sign)) >= 0), default=len(path))
    start = path[: path.rfind("/", 0, plain) + 1]
    return f"./{start}" if start.startswith(("glob:", "hardlink:")) else start


def normalise_glob(text: str) -> str:
    """The name of a glob as it is stored: `glob:` and the shortest spelling of the pattern, in NFC.

    Args:
        text: A pattern relative to the root, with or without `glob:`; 1 to 4096 bytes of UTF-8. Spaces at its end are
            dropped, as git does; the first stays when it is escaped.

    Returns:
        A name that is its own canonical name. `./x` becomes `/x`: it has a slash, so it stays at the root.

    Raises:
        UsageError: It is empty, too long, negated or malformed, leaves the root, or holds a NUL.

    Protocol: protocol/lock.md, "Names".
    """
    from latchboard.rules import wildcard

    pattern = text.removeprefix("glob:")
    if not pattern.isascii():
        import unicodedata

        pattern = unicodedata.normalize("NFC", pattern)
    try:
        return "glob:" + wildcard.canonical(pattern)
    except ValueError as exc:
        shown = repr(text) if len(text) <= 200 else repr(text[:200]) + "..."
        hint = "write it as in .gitignore, relative to the root; a backslash makes a special character stand for itself"
        raise UsageError(f"the glob {shown} {exc}", hint=hint) from None


def _folder_holds(folder: str, name: str) -> bool:
    if name.startswith("hardlink:"):
        return False
    if folder == "./":
        return not name.startswith("/")
    return name.startswith(folder) or folder == "/" or (len(name) + 1 == len(folder) and folder.startswith(name))


def _is_rooted_in(name: str, glob: str) -> bool:
    """Whether a glob begins with the plain path of a folder, and has something behind it."""
    path = glob.removeprefix("/")
    return kind(name) == "folder" and len(path) > len(name) and path.startswith(name) and not set(name) & set("*?[\\")


def _glob_meets(glob: str, other: str) -> bool:
    if other.startswith("hardlink:"):
        return False
    from latchboard.rules import wildcard  # a hook that meets no glob does not load it

    return wildcard.meets(glob, other)
