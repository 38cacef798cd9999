"""Tree: who holds which file, by folders; kept from one picture to the next, so that a change costs what it changes.

Law 1. Folders that have nothing but one folder in them are one line: `src/latchboard/board/`.
Law 2. Nothing recurs: a path has up to two thousand folders.
Law 3. What is no path below the project (absolute, `glob:`, `hardlink:`) stands behind the rest, as it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    Entry = dict[str, Any]
    Node: TypeAlias = "Folder | File | Waiting"

_ELSEWHERE = ("glob:", "hardlink:")
_DEPTH_MAX = 40
"""Deeper than that nobody sees a difference, and there is no need to walk up all of two thousand folders."""


class Folder:
    """A folder with held files somewhere in it.

    Attributes:
        path: From the project's folder, with a `/` at its end; the root's is empty.
        parent: None: it is the root.
        folders: Inside it, by their names.
        files: Inside it, by the names of their locks.
        files_count: Files anywhere below.
        holds_count: Agent to how much it holds anywhere below.
        is_open: What is in it is shown.
    """

    __slots__ = ("files", "files_count", "folders", "holds_count", "is_open", "lines", "name", "parent", "path")

    def __init__(self, name: str, parent: Folder | None) -> None:
        self.name = name
        self.parent = parent
        self.path: str = "" if parent is None else f"{parent.path}{name}/"
        self.folders: dict[str, Folder] = {}
        self.files: dict[str, File] = {}
        self.files_count = 0
        self.holds_count: dict[str, int] = {}
        self.is_open = True
        self.lines: list[Node] | None = None  # of the folder and of what is in it; None: to be made anew

    @property
    def key(self) -> str:
        """What it is known by in the next picture."""
        return self.path

    @property
    def is_passed(self) -> bool:
        """Whether it has no line of its own, but stands before the name of the one folder in it."""
        return not self.files and len(self.folders) == 1 and self.parent is not None

    @property
    def label(self) -> str:
        """What its line says: its name, and those of the folders above that have no line."""
        names = [self.name]
        above = self.parent
        while above is not None and above.is_passed:
            names.append(above.name)
            above = above.parent
        return "/".join(reversed(names)) + "/"


class File:
    """A name with whoever holds it and whoever waits for it.

    Attributes:
        name: Canonical name of the lock.
        label: Its last part.
        holds: In force; several when it is shared.
        ended: Over, and free to take.
        waiters: In the order of the line.
    """

    __slots__ = ("ended", "holds", "label", "name", "parent", "waiters")

    def __init__(self, name: str, label: str, parent: Folder) -> None:
        self.name = name
        self.label = label
        self.parent = parent
        self.holds: list[Entry] = []
        self.ended: list[Entry] = []
        self.waiters: list[Waiting] = []

    @property
    def key(self) -> str:
        """What it is known by in the next picture."""
        return f"={self.name}"


class Waiting:
    """Somebody who waits for a file."""

    __slots__ = ("entry", "file")

    def __init__(self, entry: Entry, file: File) -> None:
        self.entry = entry
        self.file = file

    @property
    def key(self) -> str:
        """What it is known by in the next picture."""
        return f"?{self.entry['request']} {self.file.name}"


class Tree:
    """All that is held, was held, or is waited for."""

    def __init__(self) -> None:
        self._root = Folder("", None)
        self._files: dict[str, File] = {}
        self._closed: set[str] = set()
        self._special: set[str] = set()  # names that somebody waits for, or of which a hold is over

    def update(self, locks: Iterable[Entry], ended: Iterable[Entry], waiters: Iterable[Entry]) -> None:
        """Be the tree of these; entries that have not changed should be the same objects as before."""
        first: dict[str, Entry] = {}
        rest: dict[str, list[Entry]] = {}  # a list for each of ten thousand names would keep the garbage collector busy
        for hold in locks:
            name = hold["name"]
            if name in first:
                rest.setdefault(name, []).append(hold)
            else:
                first[name] = hold
        over = _by_name((hold["name"], hold) for hold in ended)
        waits = _by_name((name, waiter) for waiter in waiters for name in waiter["names"])
        for name in self._files.keys() - first.keys() - over.keys() - waits.keys():
            self._remove(self._files.pop(name))
        for name, hold in first.items():
            file = self._files.get(name) or self._add(name)
            if len(file.holds) != 1 or file.holds[0] is not hold or name in rest:
                self._hold(file, [hold, *rest.get(name, ())])
        for name in (self._special & self._files.keys()) | over.keys() | waits.keys():
            file = self._files.get(name) or self._add(name)
            self._mark(file, over.get(name, []), waits.get(name, []), is_held=name in first)
        self._special = over.keys() | waits.keys()

    def lines(self) -> list[Node]:
        """A line for each folder, file and waiter that is to be seen, from the top."""
        left = [self._root]
        while left:
            node = left[-1]
            if node.lines is None and (node.is_open or node.is_passed):
                stale = [folder for folder in node.folders.values() if folder.lines is None]
                if stale:
                    left += stale
                    continue
            if node.lines is None:
                node.lines = _made(node)
            left.pop()
        return self._root.lines or []

    def toggle(self, folder: Folder, is_open: bool | None = None) -> None:
        """Show what is in a folder, or do not; None: what it is not now."""
        folder.is_open = not folder.is_open if is_open is None else is_open
        (self._closed.discard if folder.is_open else self._closed.add)(folder.path)
        self._stale(folder)

    # -- small things -------------------------------------------------------------------------------------------------

    def _hold(self, file: File, holds: list[Entry]) -> None:
        self._count(file, -1)
        file.holds = holds
        self._count(file, 1)

    def _mark(self, file: File, over: list[Entry], waits: list[Entry], *, is_held: bool) -> None:
        if not is_held and file.holds:
            self._hold(file, [])
        file.ended = over
        if [one.entry for one in file.waiters] != waits:
            file.waiters = [Waiting(waiter, file) for waiter in waits]
            self._stale(file.parent)

    def _add(self, name: str) -> File:
        above, label = split(name)
        folder = self._root
        for part in above:
            below = folder.folders.get(part)
            if below is None:
                below = folder.folders[part] = Folder(part, folder)
                below.is_open = below.path not in self._closed
            folder = below
        file = self._files[name] = folder.files[name] = File(name, label, folder)
        self._grow(file, 1)
        return file

    def _remove(self, file: File) -> None:
        self._count(file, -1)
        self._grow(file, -1)
        folder = file.parent
        del folder.files[file.name]
        while folder.parent is not None and not folder.files and not folder.folders:
            del folder.parent.folders[folder.name]
            folder = folder.parent

    def _grow(self, file: File, by: int) -> None:
        folder: Folder | None = file.parent
        while folder is not None:
            folder.files_count += by
            folder.lines = None
            folder = folder.parent

    @staticmethod
    def _count(file: File, by: int) -> None:
        for hold in file.holds:
            agent = hold["agent"]
            folder: Folder | None = file.parent
            while folder is not None:
                counts = folder.holds_count
                counts[agent] = counts.get(agent, 0) + by
                if not counts[agent]:
                    del counts[agent]
                folder = folder.parent

    @staticmethod
    def _stale(folder: Folder | None) -> None:
        while folder is not None:
            folder.lines = None
            folder = folder.parent


def _by_name(entries: Iterable[tuple[str, Entry]]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for name, entry in entries:
        found.setdefault(name, []).append(entry)
    return found


def depth(node: Node) -> int:
    """How many folders above it have lines of their own, up to `_DEPTH_MAX`."""
    if isinstance(node, Waiting):
        return depth(node.file) + 1
    found = 0
    above = node.parent
    while above is not None and above.parent is not None and found < _DEPTH_MAX:
        found += not above.is_passed
        above = above.parent
    return found


def split(name: str) -> tuple[list[str], str]:
    """The folders above a name, and what it is called there."""
    if name.startswith(_ELSEWHERE):
        return [], name
    whole = name.rstrip("/")
    above, _, label = whole.rpartition("/")
    label += name[len(whole) :]
    if not above:
        return [], name
    parts = above.split("/")
    return (parts if parts[0] else ["", *parts[1:]]), label


def _made(folder: Folder) -> list[Node]:
    """The lines of a folder, when those of the folders in it are there."""
    if folder.is_passed:
        return next(iter(folder.folders.values())).lines or []
    found: list[Node] = [] if folder.parent is None else [folder]
    if folder.is_open:
        for _, below in sorted(folder.folders.items(), key=lambda item: (not item[0], item[0])):
            found += below.lines or ()
        for file in sorted(folder.files.values(), key=lambda file: (file.name.startswith(_ELSEWHERE), file.label)):
            found.append(file)
            found += file.waiters
    return found
