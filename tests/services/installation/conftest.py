"""A project, its shelf and a machine of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from latchboard.host.project_file import KeptFiles, ProjectFiles
from latchboard.installation import Change, Choice, Installation
from latchboard.settings import Settings


class OtherMachine:
    """What another machine has."""

    def __init__(self) -> None:
        self.home: set[str] = set()
        self.programs: dict[str, str] = {}
        self.prefix: list[str] = []
        self.packages = {"mcp"}

    def at_home(self, name: str) -> bool:
        return name in self.home

    def program(self, name: str) -> str:
        return self.programs.get(name, "")

    def command(self, program: str, module: str) -> tuple[list[str], bool]:
        return ([*self.prefix[:-1], f"{self.prefix[-1]}/{program}"], False) if self.prefix else ([program], True)

    def can_import(self, package: str) -> bool:
        return package in self.packages


class Scene:
    """One project on that machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = OtherMachine()
        self.settings = Settings()
        (root / "data/.agent_locks").mkdir(parents=True)

    def __call__(self) -> Installation:
        """What another process has."""
        shelf = KeptFiles(f"{self.root}/data/.agent_locks", ".")
        return Installation(ProjectFiles(str(self.root)), shelf, self.machine, self.settings)

    def set_up(self, *clients: str, mcp: bool = True, instructions: bool = True) -> list[Change]:
        """Plan and apply; what was refused."""
        one = self()
        changes = one.plan(Choice(clients or None, mcp=mcp, instructions=instructions))
        return [*(change for change in changes if change.kind == "refused"), *one.apply(changes)]

    def take_out(self) -> list[Change]:
        """Plan and apply; what was refused."""
        one = self()
        changes = one.plan_removal()
        refused = [*(change for change in changes if change.kind == "refused"), *one.apply(changes)]
        one.forget(but=[change.name for change in refused])
        return refused

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def tree(self) -> dict[str, bytes | None]:
        """Every file with its bytes, every folder with None; without the board."""
        found = {str(path.relative_to(self.root)): path for path in sorted(self.root.rglob("*"))}
        return {name: _content(path) for name, path in found.items() if not name.startswith("data")}

    def times(self) -> dict[str, int]:
        return {name: (self.root / name).stat().st_mtime_ns for name in self.tree()}


def _content(path: Path) -> bytes | None:
    if path.is_symlink():
        return b"-> " + os.fsencode(path.readlink())
    if path.is_file():
        return path.read_bytes()
    return None if path.is_dir() else b"neither a file nor a folder"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    root = tmp_path / "project"
    root.mkdir()
    return Scene(root)


@pytest.fixture
def another(tmp_path: Path) -> Callable[[str], Scene]:
    """Further projects, by the names of their folders."""

    def make(name: str) -> Scene:
        root = tmp_path / "others" / name
        root.mkdir(parents=True)
        return Scene(root)

    return make
