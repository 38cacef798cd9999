"""Repository: what git says about the repository a hook runs in; one process per question.

Protocol: protocol/git.md, "What is looked at".
"""

from __future__ import annotations

import os

from latchboard.host.git import GitFailed, ask
from latchboard.rules import git as rules

_HEAD = "LATCHBOARD_GIT_HEAD"
_CHECKED = "latchboard-checked"
_REFLOG_LINE_BYTES_MAX = 65536
# No rename: a file that is renamed is deleted under one name and made under the other, and both are changed.
_NAMES = (
    "--name-only",
    "-z",
    "--no-renames",
    "--no-ext-diff",
    "--no-relative",
    "--ignore-submodules=dirty",
    "-O/dev/null",
)


def staged() -> list[bytes]:
    """The paths that the commit in the making changes, against HEAD or against nothing; both names of a rename.

    Which index that is says GIT_INDEX_FILE: for `git commit -a` and `git commit FILE` it is another one.
    """
    return _paths(ask("diff", "--cached", *_NAMES))


def between(old: str, new: str) -> list[bytes]:
    """The paths in which two commits differ; `old` "" is the empty tree."""
    if not old:
        return _paths(ask("diff-tree", "-r", "--root", "--no-commit-id", *_NAMES, "--end-of-options", new))
    return _paths(ask("diff-tree", "-r", *_NAMES, "--end-of-options", old, new))


def _paths(listing: bytes) -> list[bytes]:
    try:
        return rules.paths(listing)
    except ValueError as exc:
        raise GitFailed(f"git's answer is not whole: {exc}") from exc


def last_move() -> tuple[str, str] | None:
    """From which commit to which HEAD moved last, by its reflog; None where none is kept.

    Where the hook's script said to which commit (LATCHBOARD_GIT_HEAD), that move: another one may have come behind it.
    """
    try:
        with open(f"{git_folder()}/logs/HEAD", "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _REFLOG_LINE_BYTES_MAX))
            tail = file.read()
    except OSError:
        return None
    lines = tail.rstrip(b"\n").split(b"\n")
    head = os.environ.get(_HEAD, "")
    moves = (rules.moved(line) for line in reversed(lines))
    return next((move for move in moves if head and move and move[1] == head), None) or rules.moved(lines[-1])


def parent_and_head() -> tuple[str, str]:
    """The first parent of HEAD ("" for none) and HEAD, for a repository without a reflog."""
    wanted = os.environ.get(_HEAD) or "HEAD"
    head, *parents = ask("rev-list", "--no-walk", "--parents", wanted).decode("ascii", "replace").split()
    return (parents[0] if parents else ""), head


def last_merge() -> tuple[str, str] | None:
    """From where to where a merge moved HEAD, for a repository without a reflog; None where git did not note it."""
    try:
        old, new = ask("rev-parse", "--quiet", "--verify", "ORIG_HEAD"), ask("rev-parse", "HEAD")
    except GitFailed:
        return None
    return old.decode("ascii", "replace").strip(), new.decode("ascii", "replace").strip()


def unpushed(pushes: list[tuple[str, str]], remote: str) -> set[str]:
    """The commits that a push sends and the other side does not have yet, as far as that is known here."""
    words = [here for here, _ in pushes] + ["--not"] + [there for _, there in pushes if there]
    known = [f"--remotes={remote}"] if remote and "/" not in remote and "*" not in remote else []
    return set(ask("rev-list", "--ignore-missing", *words, *known).decode("ascii", "replace").split())


def git_folder() -> str:
    """This work tree's own git folder."""
    named = os.environ.get("GIT_DIR")
    if named:
        return named
    if os.path.isdir(".git"):
        return ".git"
    try:
        with open(".git", "rb") as file:
            text = os.fsdecode(file.read(8192))
    except OSError:
        return "."  # a bare repository's hooks run in it
    return text.removeprefix("gitdir:").strip() or "."


def is_merging() -> bool:
    """Whether the next commit ends a merge."""
    return os.path.exists(f"{git_folder()}/MERGE_HEAD")


def note_checked() -> None:
    """Tell the hook behind the commit, run by the same git, that there is nothing to find (script.py).

    The process id of that git is what it is known by. Where it cannot be noted the other hook looks for itself.
    """
    git = os.environ.get("LATCHBOARD_GIT_PID", "")
    if not git.isdecimal():
        return
    try:
        with open(f"{git_folder()}/{_CHECKED}", "w", encoding="ascii") as file:
            file.write(f"{git}\n")
    except OSError:
        return
