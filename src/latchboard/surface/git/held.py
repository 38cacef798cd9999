"""Held: which changed paths of a repository lie on which board, and who holds them.

A path is looked for on each board between its folder and the top of the work tree, for a repository may have several;
on a board above the top nothing of the repository is (protocol/layout.md, "The root"). It is looked for as it is
spelled in the commit, and as what it leads to in the work tree.

Protocol: protocol/git.md, "Whose a path is".
"""

from __future__ import annotations

import os

from latchboard.errors import UsageError
from latchboard.rules import pattern
from latchboard.rules.git import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.locks import Locks
    from latchboard.locks.table import Table

_BOARD = "data/.agent_locks"
_SINGLE_NAMES_COUNT_MAX = 200
"""More names than that: all lock records are read, instead of one after the other."""


class Held:
    """One hold that is in the way.

    Attributes:
        board: The project it is in.
        elsewhere: That project's folder, where it is not the one that a command finds from the top; else "".
        facts: name, agent, mode, bound, token, since, remaining_s, reason, pid.
        paths: The changed paths that it covers, from the top of the work tree.
    """

    __slots__ = ("board", "elsewhere", "facts", "paths")

    def __init__(self, board: Latchboard, facts: dict[str, Any], *, elsewhere: str = "") -> None:
        self.board = board
        self.elsewhere = elsewhere
        self.facts = facts
        self.paths: list[bytes] = []

    @property
    def agent(self) -> str:
        """Who has it."""
        return str(self.facts["agent"])


class Project:
    """One board, and what of the changed paths lies on it.

    Attributes:
        board: Its services.
        top: The board's folder, from the top of the work tree, with a slash behind it; empty: the top itself.
    """

    __slots__ = ("board", "top")

    def __init__(self, root: str, top: bytes) -> None:
        from latchboard.compose import Latchboard

        self.board = Latchboard(root, publishes=False)
        self.top = top

    def names(self, paths: Iterable[bytes]) -> dict[str, list[bytes]]:
        """The names of the changed paths that lie on this board, each with the paths that have it."""
        found: dict[str, list[bytes]] = {}
        for path in paths:
            if path.startswith(self.top):
                for name in _names(self.board, path[len(self.top) :]):
                    found.setdefault(name, []).append(path)
        return found

    def held(self, paths: Iterable[bytes], agent: str) -> list[Held]:
        """Every live hold of others than `agent` that covers some of `paths`; of one store revision.

        Raises:
            CoordinationError: The store, or a record that matters, cannot be read.
        """
        names = self.names(paths)
        table = _look(self.board.locks, names)
        found: dict[tuple[str, str, int], Held] = {}
        elsewhere = self.board.root if self.top else ""
        for name, changed in names.items():
            for record in _met(table, name):
                for held in record["holders"]:
                    if is_own(held["agent"], agent) or table.why_over(held):
                        continue
                    key = record["name"], held["agent"], held["token"]
                    if key not in found:
                        found[key] = Held(self.board, _facts(table, record["name"], held), elsewhere=elsewhere)
                    found[key].paths += [path for path in changed if path not in found[key].paths]
        return list(found.values())


def projects(paths: Iterable[bytes], *, as_one: bool = True) -> list[Project]:
    """The boards that have to do with `paths` of the work tree in the current folder; none: nobody coordinates here.

    Args:
        paths: From the top of the work tree.
        as_one: Whether a linked work tree that shares the main one's board (setting `worktrees_shared`) counts. It does
            for what is committed, and not for what changed in its own files alone.
    """
    top = os.getcwd()
    shared = _shared_root(top)
    if shared and shared != top:
        return [Project(shared, b"")] if as_one and _has_board(shared) else []
    known: dict[bytes, bool] = {}
    for path in paths:
        folder = path.rpartition(b"/")[0]
        while folder not in known:
            known[folder] = _has_board(os.path.join(top, os.fsdecode(folder)))
            folder = folder.rpartition(b"/")[0]
    return [
        Project(os.path.join(top, os.fsdecode(folder)) if folder else top, folder and folder + b"/")
        for folder, has_board in sorted(known.items())
        if has_board
    ]


def _shared_root(top: str) -> str:
    """The main work tree's folder, if `top` is one of a repository whose work trees share a board."""
    if os.path.isdir(f"{top}/.git"):
        return ""  # the main work tree itself: nothing of the settings is needed for that
    from latchboard.host.configuration import read_settings
    from latchboard.host.root import shared_root

    return shared_root(top) if read_settings(top).worktrees_shared else ""


def _has_board(folder: str) -> bool:
    return os.path.isdir(f"{folder}/{_BOARD}")


def _names(board: Latchboard, path: bytes) -> list[str]:
    """The names under which a path of a commit can be held, beside the folders and globs that it is in."""
    text = path.decode("utf-8", "surrogateescape")
    try:
        literal = board.tree.spell(text)
    except UsageError:
        literal = text  # no name of a lock can be it; a folder or a glob can hold it all the same
    if literal.startswith(("glob:", "hardlink:")):
        literal = f"./{literal}"
    try:
        real = board.tree.names(f"{board.root}/{text}")
    except UsageError:
        real = ()
    # A folder: where a file was, or a submodule. What is in it is not what the commit changes.
    return [literal, *(name for name in real if name != literal and not name.endswith("/"))]


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def _look(locks: Locks, names: Iterable[str]) -> Table:
    """What can be in the way of `names`, all of one revision."""
    keys = [f"locks/{name}" for name in names if _is_text(name) and len(name) <= 4096]
    if len(keys) > _SINGLE_NAMES_COUNT_MAX:
        return locks.look("locks/", "wide")
    table = locks.look(*keys, "wide")
    while wide := table.wide_names() - {key[6:] for key in keys}:  # which may have grown between two looks
        keys += [f"locks/{name}" for name in sorted(wide)]
        table = locks.look(*keys, "wide")
    return table


def _met(table: Table, name: str) -> list[Any]:
    if _is_text(name) and len(name) <= 4096:
        return table.met_by(name)
    wide = sorted(wide for wide in table.wide_names() if pattern.overlap(wide, name))
    return [record for one in wide if (record := table.record(one)) is not None]


def _facts(table: Table, name: str, held: Any) -> dict[str, Any]:
    from latchboard.locks.hold import describe

    return {"name": name, **describe(held, table.remaining_s(held))}
