"""protocol/vectors/store/ against the file store: names, header, journal lines, recovery."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from latchboard import Latchboard
from latchboard.errors import Compacted, MalformedRecord, ProtocolError, UsageError
from latchboard.store.files import guard, journal, layout
from latchboard.store.files.store import FileStore
from latchboard.store.port import REPLAYED
from latchboard.testing import ManualClock

PROTOCOL = Path(__file__).parents[2] / "protocol"
VECTORS = PROTOCOL / "vectors" / "store"
FIRST_LINE_BYTES = 400
AT = "2026-11-21T02:51:04.985536Z"
COMMIT = {"revision": 1, "at": AT, "who": "a", "puts": {}, "deletes": [], "crc": "0" * 8}


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("file_names"))
def test_each_key_has_its_file_and_its_bell(given: dict[str, str], expect: dict[str, str | None] | None) -> None:
    key = given["key"]
    if expect is None:
        with pytest.raises(UsageError):
            layout.record(key)
        return

    assert layout.record(key) == expect["file"]
    assert (layout.bell(key) if layout.has_bell(key) else None) == expect["bell"]


@pytest.mark.parametrize(("given", "expect"), cases("header"))
def test_a_header_is_read_and_written(given: dict[str, str], expect: dict[str, Any] | str | None) -> None:
    data = given["text"].encode()
    if expect == "unreadable":
        with pytest.raises(ProtocolError):
            guard.Header.unpack(data)
        return

    header = guard.Header.unpack(data)

    fields = ("base", "applied", "last", "boot")
    assert (None if header is None else {name: getattr(header, name) for name in fields}) == expect
    assert header is None or header.pack() == data


@pytest.mark.parametrize(("given", "expect"), cases("journal_lines"))
def test_a_line_is_whole_or_was_never_committed(given: dict[str, str], expect: dict[str, Any] | None) -> None:
    entry = journal.unpack(given["line"].encode())

    assert (None if entry is None else {name: value for name, value in entry.items() if name != "crc"}) == expect


@pytest.mark.parametrize(("given", "expect"), cases("journal_tails"))
def test_a_tail_is_read_up_to_the_first_line_that_is_not_whole(given: dict[str, str], expect: Any) -> None:
    assert [end for end, _ in journal.whole_lines(given["data"].encode())] == expect["ends"]


@pytest.mark.parametrize(("given", "expect"), cases("recovery"))
def test_the_next_commit_finds_the_folder_and_leaves_it_so(
    tmp_path: Path, given: dict[str, Any], expect: dict[str, Any]
) -> None:
    folder = make(tmp_path, given)
    clock = ManualClock(wall_s=given["now"]["wall_s"], boot=given["now"]["boot"])
    store = FileStore(str(tmp_path), clock=clock)

    store.transact(lambda view: None, who="vectors")
    store.close()

    header_bytes = (folder / "journal" / "guard").read_bytes()
    header = guard.Header.unpack(header_bytes)
    assert header is not None
    if isinstance(expect["header"], str):
        assert header_bytes.decode() == expect["header"]
    else:
        assert {name: getattr(header, name) for name in expect["header"]} == expect["header"]
        assert header.applied == (folder / layout.journal(header.base)).stat().st_size
    assert found_journals(folder, expect["journals"]) == expect["journals"]
    assert found_records(folder) == expect["records"]
    store_id = json.loads((folder / "FORMAT").read_text())["store_id"]
    assert (store_id == "vectors") == (expect["store_id"] == "kept")


@pytest.mark.parametrize(("given", "expect"), cases("past"))
def test_what_there_was_at_a_revision(tmp_path: Path, given: dict[str, Any], expect: Any) -> None:
    folder = make(tmp_path, given)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    store = FileStore(str(tmp_path), clock=ManualClock(boot="boot-1"))

    if expect == "refused":
        with pytest.raises(UsageError):
            store.read(*REPLAYED, at=given["at"])
    elif "compacted" in expect:
        with pytest.raises(Compacted) as caught:
            store.read(*REPLAYED, at=given["at"])
        assert caught.value.fields == {"after": given["at"], "oldest": expect["compacted"]}
    else:
        damaged: list[MalformedRecord] = []
        then = store.read(*REPLAYED, at=given["at"])
        found = {key: value for prefix in REPLAYED for key, value in then.scan(prefix, damaged=damaged)}
        assert (then.revision, found) == (expect["revision"], expect["records"])
        assert sorted(exc.fields["path"] for exc in damaged) == expect.get("damaged", [])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def make(root: Path, given: dict[str, Any]) -> Path:
    """The folder that a vector describes."""
    folder = root / layout.FOLDER
    (folder / "journal").mkdir(parents=True)
    (folder / "FORMAT").write_text('{"format":1,"store_id":"vectors"}\n')
    header = folder / "journal" / "guard"
    header.write_text(given["header"])
    for each in given["journals"]:
        mine = 0 if each.get("marks") != "other" else 1
        first = {
            "format": 1,
            "base": each["base"],
            "previous": each["previous"],
            "store_id": "vectors",
            "boot": "boot-1",
            "inode": header.stat().st_ino + mine,
            "made": (folder / "FORMAT").stat().st_ctime_ns,
            "at": AT,
            "pad": "",
        }
        missing = FIRST_LINE_BYTES - len(journal.seal(json.dumps(first)[:-1]))
        line = journal.seal(json.dumps({**first, "pad": "." * missing})[:-1])
        (folder / layout.journal(each["base"])).write_bytes(line + each["lines"].encode())
        if "beginning" in each:
            (folder / layout.beginning(each["base"])).write_text(each["beginning"])
    for path, text in given["records"].items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def found_journals(folder: Path, expected: list[dict[str, int]]) -> list[dict[str, int]]:
    """Each journal, told by what the vector tells of it."""
    found = []
    for path in sorted((folder / "journal").glob("*.jsonl")):
        data = path.read_bytes()
        first = journal.unpack(data.split(b"\n", 1)[0])
        assert first is not None
        facts = {"base": int(path.stem), "size": len(data), "previous": first["previous"]}
        asked = next((each for each in expected if each["base"] == facts["base"]), facts)
        found.append({name: facts[name] for name in asked})
    return found


def found_records(folder: Path) -> dict[str, str]:
    """Every file that is neither FORMAT nor in the journal's folder."""
    return {
        os.path.relpath(path, folder): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "journal" and path.name != "FORMAT"
    }


# -- the chapters themselves -----------------------------------------------------------------------------------------


def test_the_examples_of_the_chapter_are_true() -> None:
    rows = re.findall(r"^\| `([a-z]+/[^<`]+)` \| `([^<`]+)`(?:, bell `([^`]+)`)? \|$", read("layout.md"), re.MULTILINE)

    assert len(rows) >= 6
    for key, file, bell in rows:
        assert layout.record(key) == file
        assert (layout.bell(key) if layout.has_bell(key) else "") == bell


def test_the_header_of_the_chapter_is_one() -> None:
    (text,) = re.findall(r"^    ( +\d+ +\d+ +\d+ \S+ *)$", read("store.md"), re.MULTILINE)

    header = guard.Header.unpack(text.encode() + b"\n")

    assert header is not None
    assert header.boot == "boot-1"


def test_every_chapter_can_be_read_at_one_sitting() -> None:
    for name in ("README.md", "terms.md", "layout.md", "store.md", "CHANGES.md"):
        assert len(read(name).splitlines()) <= 250, name


def read(name: str) -> str:
    return (PROTOCOL / name).read_text(encoding="utf-8")


# -- schemas ---------------------------------------------------------------------------------------------------------


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((PROTOCOL / "schema" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_everything_in_a_store_fits_its_schema(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, publishes=False)
    me = board.agent("Planner")
    with me.lock("src/", "glob:docs/*.md"), me.lock("a.py", bound="agent"):
        board.mailbox.send("planner", "builder", "hello")
        board.mailbox.broadcast("planner", "hello")
        folder = tmp_path / layout.FOLDER
        records = [path for path in folder.rglob("*") if path.suffix in (".json", ".lock")]
        for path in records:
            validator("record_file").validate(json.loads(path.read_text()))
        validator("wide").validate(json.loads((folder / "wide.json").read_text()))
        validator("format").validate(json.loads((folder / "FORMAT").read_text()))
    (path,) = (folder / "journal").glob("*.jsonl")
    first, *commits = [json.loads(line) for line in path.read_text().splitlines()]
    validator("journal_first_line").validate(first)
    for line in (folder / layout.beginning(int(path.stem))).read_text().splitlines():
        validator("journal_records").validate(json.loads(line))
    for commit in commits:
        validator("journal_line").validate(commit)
    board.close()

    assert len(records) >= 6
    assert len(commits) >= 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", {"format": 2, "store_id": "x"}),
        ("format", {"format": 1}),
        (
            "journal_line",
            {"revision": 1, "at": AT, "who": "a", "puts": {"a/b": {"key": 1}}, "deletes": [], "crc": "0" * 8},
        ),
        ("journal_line", {"revision": 1, "at": AT, "who": "a", "puts": {}, "deletes": ["log/x"], "crc": "0" * 8}),
        ("journal_line", {"revision": 1, "at": AT, "who": "a", "puts": {}, "deletes": [], "crc": "0" * 7}),
        ("record_file", {"key": "a/b"}),
        ("wide", {"names": []}),
        ("wide", {"names": ["a.py"]}),
    ],
)
def test_a_schema_refuses_what_the_chapter_forbids(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validator(name).validate(value)
