"""Which records a request meets, and which it reads for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latchboard.errors import MalformedRecord
from latchboard.locks.records import Records
from latchboard.rules import pattern
from tests.conftest import ONE_FIXTURE
from tests.services.locks.scene import Scene

NAMES = ("src", "src/a.py", "src/lib/", "src/lib.py", "srcs/a.py", "lib/b.py", "glob:*.py", "glob:docs/*.md", "./")


class Noting:
    """A view that notes which scans were asked of it."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self.scans: list[str] = []

    def scan(self, prefix: str) -> Any:
        self.scans.append(prefix)
        return self._view.scan(prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


def met(scene: Scene, *asked: str) -> tuple[list[list[str]], list[str]]:
    """The names that each meets, and the scans that were made for all of them."""

    def look(view: Any) -> tuple[list[list[str]], list[str]]:
        noting = Noting(view)
        records = Records(noting)
        return [[record["name"] for record in records.met_by(name)] for name in asked], noting.scans

    return scene.store.transact(look, who="x").value


def held(scene: Scene) -> None:
    holder = scene.process().agent("holder")
    for name in NAMES:
        holder.lock(name)


def test_a_folder_meets_what_lies_beneath_it_and_whatever_else_may_hold_a_file_of_it(scene: Scene) -> None:
    held(scene)

    [names], scans = met(scene, "src/")

    assert names == ["./", "glob:*.py", "src", "src/a.py", "src/lib.py", "src/lib/"]
    assert scans == ["locks/src/"], "what is held elsewhere is not read"


def test_a_glob_reads_the_folder_that_it_begins_with(scene: Scene) -> None:
    held(scene)

    [names], scans = met(scene, "glob:src/lib/**")

    assert names == ["./", "glob:*.py", "src/lib/"]
    assert scans == ["locks/src/lib/"]


def test_who_asks_for_several_folders_reads_everything_once(scene: Scene) -> None:
    held(scene)

    [source, library, everything], scans = met(scene, "src/", "lib/", "./")

    assert "src/a.py" in source
    assert library == ["./", "glob:*.py", "lib/b.py"]
    assert everything == sorted(NAMES)
    assert scans == ["locks/src/", "locks/"]


def test_what_a_transaction_has_put_is_met_by_its_folder(scene: Scene) -> None:
    def look(view: Any) -> tuple[list[Any], list[Any]]:
        records = Records(view)
        before = records.met_by("src/")
        record = {"name": "src/a.py", "holders": [], "waiters": [{"request": "r"}]}
        records.put(record)  # type: ignore[arg-type]  # somebody waits; what else a place says is not looked at
        during = records.met_by("src/")
        records.put({**record, "waiters": []})  # type: ignore[typeddict-item]
        return [before, records.met_by("src/")], during

    without, during = scene.store.transact(look, who="x").value

    assert without == [[], []]
    assert [record["name"] for record in during] == ["src/a.py"]


def waited_for(name: str) -> Any:
    """A record of which nothing is looked at but the name, and that somebody waits."""
    return {"name": name, "holders": [], "waiters": [{"request": "r", "agent": "a", "seq": 1, "mode": "exclusive"}]}


def test_what_cannot_be_read_beneath_a_folder_is_met_and_what_lies_elsewhere_is_not(scene: Scene) -> None:
    scene.store.transact(lambda view: view.put("locks/src/a.py", {"name": "src/b.py"}), who="x")

    with pytest.raises(MalformedRecord):
        met(scene, "src/")
    with pytest.raises(MalformedRecord):
        met(scene, "glob:src/**")
    assert met(scene, "lib/")[0] == [[]]


parts = st.sampled_from(["a", "b", "a.b", "glob:a", "hardlink:1-2", "\u00e4", "A"])
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
files = paths.map(lambda path: f"./{path}" if path.startswith(("glob:", "hardlink:")) else path)
globs = st.lists(parts | st.sampled_from(["*", "**", "a*", "?"]), min_size=1, max_size=3).map("/".join)
names = st.one_of(
    files,
    files.map(lambda path: f"{path}/"),
    (globs | globs.map(lambda glob: f"/{glob}/")).map(pattern.normalise_glob),
    st.sampled_from(["./", "/", "/a", "/a/", "/a/b", "hardlink:1-2"]),
)


def found_as_by_hand(scene: Scene, held: set[str], asked: list[str]) -> None:
    """Whoever asks meets what a look at every record finds, in the transaction that puts them and in a later one."""

    def look(view: Any) -> list[list[str]]:
        there = Records(view)
        for key, _ in view.scan("locks/"):  # what the last example left
            if key[6:] not in held:
                there.put({"name": key[6:], "holders": [], "waiters": []})
        for name in held:
            there.put(waited_for(name))
        records = Records(view)
        return [sorted(record["name"] for record in records.met_by(name)) for name in asked]

    by_hand = [sorted(name for name in held if pattern.overlap(name, one)) for one in asked]
    assert scene.store.transact(look, who="x").value == by_hand
    assert [sorted(one) for one in met(scene, *asked)[0]] == by_hand


several = {"held": st.sets(names, max_size=12), "asked": st.lists(names, min_size=1, max_size=3, unique=True)}


@settings(max_examples=60, deadline=None, suppress_health_check=ONE_FIXTURE)
@given(**several)
@example(held={"./glob:a/b", "glob:a/b", "./hardlink:1-2/a"}, asked=["glob:glob:a/*", "glob:hardlink:1-2/**"])
@example(held={"a", "a/b", "aa", "a.b", "a/b/"}, asked=["a/", "glob:a/b/", "glob:/a/"])
def test_everything_that_overlaps_is_met_and_nothing_else(scene: Scene, held: set[str], asked: list[str]) -> None:
    found_as_by_hand(scene, held, asked)


@settings(max_examples=10, deadline=None, suppress_health_check=ONE_FIXTURE)
@given(**several)
def test_so_it_is_in_files_whose_names_do_not_begin_as_keys_do(
    tmp_path: Path, held: set[str], asked: list[str]
) -> None:
    found_as_by_hand(Scene(tmp_path, is_memory=False), held, asked)
