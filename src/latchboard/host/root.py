"""Root: the folder of a project that its paths are relative to, found from anywhere inside it.

Protocol: protocol/layout.md, "The root".
"""

from __future__ import annotations

import os
import stat

from latchboard.errors import UsageError

_GIT_FILE_BYTES_MAX = 8192
_BOARD = "data/.agent_locks"
_GIT = ".git"


def root_of(start: str | os.PathLike[str] = ".") -> str:
    """The root of the project that `start` (a folder or a file) is in; absolute, symbolic links resolved.

    It is the nearest folder, `start` itself included, with `data/.agent_locks` or `.git` in it (a folder, or the file
    of a git worktree or submodule); else `start`. So a board above a repository is not that repository's: one that
    somebody made by mistake in a home folder does not take in every project there.

    Raises:
        UsageError: `start` is relative and the current folder no longer exists.
    """
    folder = _folder(start)
    return _nearest(folder, _BOARD, _GIT) or folder


def board_above(root: str) -> str:
    """The nearest folder above `root` that has a board, whoever's it is; "" when there is none."""
    found = _nearest(os.path.dirname(root), _BOARD)
    return "" if found == root else found


def shared_root(start: str | os.PathLike[str] = ".") -> str:
    """The root that all git worktrees of one repository share: that of its main work tree.

    For worktrees of a bare repository it is the folder whose `.git` leads to it, else the repository itself. Outside
    git, in the main work tree, and in a submodule (a repository of its own) it is `root_of(start)`.
    """
    folder = _folder(start)
    worktree = _nearest(folder, _GIT)
    common = _common_folder(worktree) if worktree else ""
    if not common:
        return root_of(folder)
    above = os.path.dirname(common)
    return above if os.path.realpath(_git_folder(above)) == common else common


def git_hooks_folder(worktree: str) -> str:
    """The folder of git's hooks, by what lies in the repository; "" where there is none, or git alone could tell.

    git is not run: a configuration that includes others, or that of the person, may say another folder.
    """
    common = _common_folder(worktree) or _git_folder(worktree)
    config = _read(os.path.join(common, "config")).lower() if common else ""
    return "" if not common or "hookspath" in config or "[include" in config else os.path.join(common, "hooks")


def _folder(start: str | os.PathLike[str]) -> str:
    try:
        real = os.path.realpath(os.fspath(start))
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot find the folder {start}: {exc}", hint="go to a folder that exists") from exc
    return os.path.dirname(real) if os.path.isfile(real) else real


def _nearest(folder: str, *entries: str) -> str:
    """The nearest folder upwards that has one of `entries`, "" when there is none."""
    while True:
        if any(os.path.exists(os.path.join(folder, entry)) for entry in entries):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above


def _git_folder(worktree: str) -> str:
    """The folder that `.git` in `worktree` is, or leads to; "" when there is none."""
    entry = os.path.join(worktree, _GIT)
    if os.path.isdir(entry):
        return entry
    text = _read(entry)
    if not text.startswith("gitdir:"):
        return ""
    return os.path.join(worktree, text.removeprefix("gitdir:").strip())


def _common_folder(worktree: str) -> str:
    """The repository that a linked worktree belongs to; "" for a main work tree, a submodule, or what is unreadable."""
    git_folder = _git_folder(worktree)
    common = _read(os.path.join(git_folder, "commondir")).strip() if git_folder else ""
    return os.path.realpath(os.path.join(git_folder, common)) if common else ""


def _read(path: str) -> str:
    data = read_start(path, _GIT_FILE_BYTES_MAX) or b""
    return "" if b"\0" in data else os.fsdecode(data)


def read_start(path: str, bytes_max: int) -> bytes | None:
    """The start of a plain file, also behind a link; None for none that can be read. Nothing else is waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with open(fd, "rb") as file:
        try:
            return file.read(bytes_max) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        except OSError:
            return None
