"""The shelf of an installation: what one place keeps is its own, and lasts as long as somebody needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import UsageError
from latchboard.host.project_file import KeptFiles, ProjectFiles


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path)


def entry(name: str) -> dict[str, object]:
    return {"before": name, "after": "x", "folders": []}


def test_what_another_place_needs_stays_when_this_one_forgets(store: str) -> None:
    mine, others = KeptFiles(store, "."), KeptFiles(store, "tree")
    names = [shelf.keep(data) for shelf, data in ((mine, b"mine"), (others, b"theirs"), (mine, b"nobody's"))]
    mine.save({"AGENTS.md": entry(names[0])})
    others.save({"AGENTS.md": entry(names[1])})

    mine.forget_all_but({names[0]})

    assert [mine.fetch(name) for name in names] == [b"mine", b"theirs", None]
    assert others.load() == {"AGENTS.md": entry(names[1])}

    mine.save({})
    mine.forget_all_but(set())

    assert [others.fetch(name) for name in names] == [None, b"theirs", None]
    assert (mine.load(), others.load()) == ({}, {"AGENTS.md": entry(names[1])})


def test_bytes_that_were_changed_on_the_shelf_are_not_given_back(store: str) -> None:
    shelf = KeptFiles(store, ".")
    name = shelf.keep(b"mine")
    (Path(store) / "installed" / name).write_bytes(b"others")

    assert shelf.fetch(name) is None
    assert shelf.keep(b"mine") == name
    assert shelf.fetch(name) == b"mine"
    assert shelf.fetch("../" * 20 + name[:4]) is None


def test_a_file_that_an_editor_moves_away_is_not_told_as_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "queue.json"
    path.write_bytes(b"{}")
    asked = os.access

    def moved_then_asked(*args: Any, **options: Any) -> bool:
        path.rename(tmp_path / "queue.json~")
        return asked(*args, **options)

    monkeypatch.setattr(os, "access", moved_then_asked)

    assert ProjectFiles(str(tmp_path)).read("queue.json") == b"{}"


def test_a_file_that_is_moved_away_before_it_is_opened_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queue.json"
    path.write_bytes(b"{}")
    opened = os.open

    def moved_then_opened(*args: Any, **options: Any) -> int:
        path.rename(tmp_path / "queue.json~")
        return opened(*args, **options)

    monkeypatch.setattr(os, "open", moved_then_opened)

    assert ProjectFiles(str(tmp_path)).read("queue.json") is None


def test_a_read_only_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "queue.json").write_bytes(b"{}")
    (tmp_path / "queue.json").chmod(0o444)

    with pytest.raises(UsageError, match="is read-only"):
        ProjectFiles(str(tmp_path)).read("queue.json")
