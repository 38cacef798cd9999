"""protocol/vectors/editing/ of images and foreign changes, and the schemas of their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard import Latchboard
from latchboard.rules import foreign, image
from latchboard.settings import Settings

PROTOCOL = Path(__file__).parents[2] / "protocol"
CHAPTER = (PROTOCOL / "editing.md").read_text(encoding="utf-8")


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors/editing" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def schema(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((PROTOCOL / "schema" / f"{name}.json").read_text()))


@pytest.mark.parametrize(("given", "expect"), cases("image_contents"))
def test_a_file_is_its_image_or_not(given: dict[str, Any], expect: bool) -> None:
    assert image.check_image(given["image"]) == image.check_image(given["now"]) == ""
    assert image.is_same_content(given["image"], given["now"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("image_stamps"))
def test_a_later_change_is_sure_to_show_or_not(given: dict[str, int], expect: bool) -> None:
    assert image.is_settled(given["mtime_ns"], given["ctime_ns"], given["taken_ns"]) is expect


@pytest.mark.parametrize(("given", "expect"), cases("foreign_changes"))
def test_whose_doing_it_was(given: dict[str, Any], expect: dict[str, Any]) -> None:
    asked = {name: given[name] for name in ("calls", "is_after", "was_seen")}

    verdict = foreign.judge(given["agent"], given["holder"], **asked)

    assert {name: getattr(verdict, name) for name in ("by", "certain", "also", "told")} == expect


def test_records_are_what_the_schemas_say(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, publishes=False)
    (tmp_path / "a").write_text("one\n")
    board.editing.begin("A", ["a", "new"])
    board.editing.done("A")
    board.foreign.before_call("B")
    (tmp_path / "a").write_text("two\n")
    (found,) = board.foreign.after_call("B")
    board.conflicts.restore("A", found["id"])

    stored = board.store.read("images/", "calls/", "conflicts/")

    for prefix, name, check in (
        ("images/", "image", image.check_record),
        ("calls/", "call", foreign.check_call),
        ("conflicts/", "foreign_change", foreign.check_conflict),
    ):
        records = of(stored, prefix)
        assert records
        for record in records:
            schema(name).validate(record)
            assert check(record) == ""


def of(stored: Any, prefix: str) -> list[Any]:
    return [value for _, value in stored.scan(prefix)]


def test_the_example_of_the_chapter_is_a_record() -> None:
    text = CHAPTER.partition("## Images")[2].partition("    {")[2].partition("\n\n")[0]
    record = json.loads("{" + text)

    schema("image").validate(record)
    assert image.check_record(record) == ""


def test_numbers_of_the_chapter_are_those_of_the_code() -> None:
    from latchboard.editing import diff
    from latchboard.editing.foreign import BATCH_COUNT
    from latchboard.rules.shell import CHARS_MAX, STEPS_MAX

    settings = Settings()

    assert (settings.image_bytes_max, settings.image_hash_bytes_max) == (1024**2, 16 * 1024**2)
    assert (settings.call_s_max, settings.conflict_ttl_s) == (600, 7 * 86400)
    assert (image.SETTLED_NS, image.SETTLED_COARSE_NS) == (20_000_000, 2_000_000_000)
    assert f"up to {BATCH_COUNT} files" in CHAPTER
    assert f"{diff.LINES_MAX:,} lines that differ" in CHAPTER
    assert f"{diff.BYTES_MAX // 1024} KiB" in CHAPTER
    assert f"{CHARS_MAX:,} characters or {STEPS_MAX:,} words" in CHAPTER
