"""Diff: what patch(1) makes of it is the other side; and it is bounded."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.editing.diff import BYTES_MAX, LINES_MAX, unified

if TYPE_CHECKING:
    from pathlib import Path

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "x y", "- d", "+e", "@@"]), max_size=40).map("\n".join)


def patched(folder: Path, old: bytes, diff: bytes) -> bytes:
    (folder / "a").write_bytes(old)
    git = shutil.which("git")
    assert git is not None
    done = subprocess.run(
        [git, "apply", "--whitespace=nowarn"], input=diff, cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done
    return (folder / "a").read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"one\n", b"two\n"),
        (b"one", b"one\n"),
        (b"one\n", b"one"),
        (b"", b"one\ntwo\n"),
        (b"".join(b"%d\n" % n for n in range(50)), b"".join(b"%d\n" % n for n in range(50) if n not in (3, 25, 49))),
        ("ä\nö\n".encode(), "ä\nü\n".encode()),
        (b"a\r\nb\r\n", b"a\r\nc\r\n"),
    ],
)
def test_git_makes_the_new_side_of_the_old_one(tmp_path: Path, old: bytes, new: bytes) -> None:
    diff = unified("a", old, new)

    assert diff.startswith(b"--- a/a\n+++ b/a\n@@ ")
    assert patched(tmp_path, old, diff) == new


@given(LINES, LINES)
def test_any_two_texts_agree_with_the_library(old: str, new: str) -> None:
    from difflib import unified_diff

    mine = unified("a", old.encode(), new.encode()).decode().split("\n")[2:-1]
    removed = [line for line in mine if line.startswith("-")]
    theirs = list(unified_diff(old.split("\n"), new.split("\n"), lineterm=""))[2:]

    assert bool(mine) == (old != new)
    assert bool(theirs) == bool(mine)
    assert len(removed) <= old.count("\n") + 1


@pytest.mark.parametrize("side", [b"\0binary", b"\xff\xfe", b"x" * (BYTES_MAX + 1), None])
def test_what_is_no_short_text_has_no_diff(side: bytes | None) -> None:
    assert unified("a", side, b"one\n") == b""
    assert unified("a", b"one\n", side) == b""


def test_a_side_with_too_many_lines_that_differ_has_none() -> None:
    many = b"x\n" * (LINES_MAX + 1)

    assert unified("a", b"", many) == b""
    assert unified("a", many, many + b"y\n") != b""


def test_a_name_with_a_line_break_makes_no_line_of_its_own() -> None:
    assert unified("a\n+b", b"1\n", b"2\n").startswith(b"--- a/a\\n+b\n")


@pytest.mark.parametrize("distinct", [2, 40, 100, 1500])
def test_the_worst_of_it_is_soon_done(distinct: int) -> None:
    rng = random.Random(distinct)
    sides = [b"".join(b"%d\n" % rng.randrange(distinct) for _ in range(LINES_MAX)) for _ in range(2)]

    began = time.process_time()
    unified("a", *sides)

    assert time.process_time() - began < 2.0
