"""Images: which names have one, and what is no image. Contents and stamps have cases in protocol/vectors/editing/."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.rules import image as rules

GOOD: dict[str, Any] = {
    "kind": "file",
    "size": 4,
    "mtime_ns": 1,
    "ctime_ns": 2,
    "inode": 7,
    "mode": 420,
    "sha256": "a" * 64,
    "kept": True,
    "settled": True,
}
RECORD: dict[str, Any] = {"name": "a", "agent": "A", "token": 1, "file": GOOD}


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("a", True),
        ("src/a", True),
        ("./glob:a", True),
        ("/x/y", True),
        ("src/", False),
        ("glob:*", False),
        ("hardlink:1-2", False),
    ],
)
def test_files_alone_have_images(name: str, expect: bool) -> None:
    assert rules.is_imaged(name) is expect


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "x"},
        {"size": "4"},
        {"inode": True},
        {"sha256": "xyz"},
        {"sha256": "A" * 64},
        {"kept": 1},
        {"settled": None},
        {"sha256": "", "kept": True},
        {"sha256": "../" + "a" * 61},
    ],
)
def test_an_image_of_another_shape_is_named(changed: dict[str, Any]) -> None:
    assert rules.check_image({**GOOD, **changed}) != ""


def test_good_images_are_good() -> None:
    assert rules.check_image(None) == rules.check_image(GOOD) == ""
    assert rules.check_image("file") != ""
    assert rules.check_record(RECORD) == rules.check_record({**RECORD, "path": "A", "file": None}) == ""


@pytest.mark.parametrize(
    "changed",
    [{"name": ""}, {"path": 1}, {"agent": None}, {"token": "1"}, {"token": True}, {"file": {}}, {"name": "a\0"}],
)
def test_a_record_of_another_shape_is_named(changed: dict[str, Any]) -> None:
    assert rules.check_record({**RECORD, **changed}) != ""


def test_a_record_without_its_file_is_none() -> None:
    assert rules.check_record({name: RECORD[name] for name in ("name", "agent", "token")}) != ""
    assert rules.check_record([]) != ""


def test_the_key_of_an_image_has_its_name() -> None:
    assert rules.key("src/a.py") == "images/src/a.py"


def test_bytes_that_are_about_to_be_written_have_no_stamp_yet() -> None:
    image = rules.of_bytes(b"a = 1\n", "a" * 64, kept=True)

    assert (image["kind"], image["size"], image["sha256"], image["kept"]) == ("file", 6, "a" * 64, True)
    assert image["settled"] is False
    assert rules.check_image(image) == ""
