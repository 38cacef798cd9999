"""The shelf of an installation: what one place keeps is its own, and lasts as long as somebody needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from latchboard.host.project_file import KeptFiles


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
