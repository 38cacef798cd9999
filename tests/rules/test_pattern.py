"""Names and their overlap. What a single glob means is checked against git in test_wildcard.py."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules import pattern, wildcard
from latchboard.rules.pattern import beginning, is_wide, kind, normalise_glob, overlap

VECTORS = json.loads(
    (Path(__file__).parents[2] / "protocol/vectors/lock/overlap.json").read_text(encoding="utf-8"),
)

# Few characters, so that names meet often. Not all of it is canonical: overlap must answer anyway.
_paths = st.lists(st.text("ab.", min_size=1, max_size=2), min_size=1, max_size=3).map("/".join)
_folders = _paths.map(lambda path: path + "/") | st.sampled_from(["./", "/", "./glob:a/", "/a/"])
_globs = st.text("ab*?[]!-\\/.", max_size=8).map(lambda text: "glob:" + text)
_odd = st.sampled_from(["", "./glob:a", "/a", "/a/b", "hardlink:1-2", "hardlink:1-3", "hardlink:1-2/", "glob:[", "\0"])
_names = _paths | _folders | _globs | _odd
# Paths that begin like another kind of name: a file's has `./` in front then, a glob's has not.
_starts = st.sampled_from(["glob:a", "hardlink:a"])
_dotted = st.builds("./{}/{}".format, _starts, _paths)
_their_globs = st.builds("glob:{}/{}".format, _starts, st.text("ab*?/.", max_size=6))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["description"])
def test_overlap_is_as_the_protocol_says(case: dict[str, Any]) -> None:
    a, b = case["given"]["a"], case["given"]["b"]

    assert overlap(a, b) is case["expect"]
    assert overlap(b, a) is case["expect"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("src/a.py", "file"),
        ("/srv/a.py", "file"),
        ("./glob:*.py", "file"),
        ("./hardlink:1-2", "file"),
        ("src/", "folder"),
        ("./", "folder"),
        ("/srv/", "folder"),
        ("./glob:x/", "folder"),
        ("glob:*.py", "glob"),
        ("glob:build/", "glob"),
        ("hardlink:2049-77", "hardlink"),
    ],
)
def test_every_name_has_one_kind(name: str, expected: str) -> None:
    assert kind(name) == expected
    assert is_wide(name) is (expected in ("folder", "glob"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("src/", "src/"),
        ("src/lib/", "src/lib/"),
        ("/srv/", "/srv/"),
        ("./glob:x/", "./glob:x/"),
        ("./", ""),
        ("/", ""),
        ("glob:src/**/*.py", "src/"),
        ("glob:src/lib*/x", "src/"),
        ("glob:src/lib/", "src/lib/"),
        ("glob:/src/lib/", ""),
        ("glob:/src", ""),
        ("glob:src/a\\b/x", "src/"),
        ("glob:s[r]c/x", ""),
        ("glob:*.py", ""),
        ("glob:build/", ""),
        ("glob:src/[", ""),
        ("glob:./src/*", ""),
        ("glob:src//lib/x", ""),
        ("glob:glob:x/lib/*", "./glob:x/lib/"),
        ("glob:hardlink:1-2/*", "./hardlink:1-2/"),
        ("glob:src/glob:x/*", "src/glob:x/"),
    ],
)
def test_what_a_folder_or_glob_holds_begins_so(name: str, expected: str) -> None:
    assert beginning(name) == expected


@given(_folders | _globs | _their_globs, _paths | _odd | _dotted)
@example("glob:glob:a/*", "./glob:a/b")
@example("glob:hardlink:a/**", "./hardlink:a/b/c")
@example("glob:a/" + "./" * 2048 + "b", "c")  # longer than any that is read: it holds everything
def test_a_file_that_begins_otherwise_is_in_no_folder_and_no_glob(wide: str, name: str) -> None:
    start = beginning(wide)

    if not is_wide(name) and not name.startswith(start) and name != start[:-1]:
        assert not overlap(wide, name)


@given(_names)
def test_a_name_is_wide_when_it_is_a_folder_or_a_glob(name: str) -> None:
    assert is_wide(name) is (kind(name) in ("folder", "glob"))


@given(_names)
def test_every_name_overlaps_itself(name: str) -> None:
    assert overlap(name, name) is True


@given(_names, _names)
def test_overlap_is_the_same_both_ways(a: str, b: str) -> None:
    assert overlap(a, b) is overlap(b, a)


@given(_names, _names, _names.filter(lambda name: kind(name) == "file"))
def test_what_holds_one_path_in_common_overlaps(a: str, b: str, path: str) -> None:
    if overlap(a, path) and overlap(b, path):
        assert overlap(a, b)


@given(_names, _names)
def test_narrow_names_meet_only_when_they_are_equal(a: str, b: str) -> None:
    if not is_wide(a) and not is_wide(b):
        assert overlap(a, b) is (a == b)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.py", "glob:*.py"),
        ("glob:*.py", "glob:*.py"),
        ("src/**/*.py", "glob:src/**/*.py"),
        ("./src/*.py", "glob:src/*.py"),
        ("/src/*.py", "glob:src/*.py"),
        ("src//x/./*.py", "glob:src/x/*.py"),
        (".//*.py", "glob:/*.py"),
        ("./*.py", "glob:/*.py"),
        ("//*.py", "glob:/*.py"),
        ("build/", "glob:build/"),
        ("build//.", "glob:build/"),
        ("./build/", "glob:/build/"),
        ("./glob:x", "glob:/glob:x"),
        ("glob:glob:x", "glob:glob:x"),
        ("*.py  ", "glob:*.py"),
        ("a\\  ", "glob:a\\ "),
        ("a\\\\  ", "glob:a\\\\"),
        ("#x", "glob:#x"),
        ("a/b**", "glob:a/b**"),
        ("a/**b/c", "glob:a/**b/c"),
        ("a\\**/b", "glob:a\\**/b"),
        ("\\!x", "glob:\\!x"),
        ("caf" + unicodedata.normalize("NFD", "é") + "*", "glob:café*"),
        ("[" + unicodedata.normalize("NFD", "é") + "]", "glob:[é]"),
        ("\udcff*", "glob:\udcff*"),
    ],
)
def test_a_glob_has_one_spelling(text: str, expected: str) -> None:
    assert normalise_glob(text) == expected
    assert normalise_glob(expected) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("glob:", "is empty"),
        ("   ", "is empty"),
        ("/", "is empty"),
        ("./", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("../a", "has a segment `..`"),
        ("a/../b", "has a segment `..`"),
        ("a/..", "has a segment `..`"),
        ("\\.\\./a", "has a segment `..`"),
        ("a/[.]", "has a segment `.`"),
        ("!a", "starts with `!`: there is no lock on everything but something"),
        ("a\\", "has a backslash with nothing behind it"),
        ("a\\/b", "has a backslash with nothing behind it"),
        ("a**/b", "has a segment `a**`: write `a*` for one folder, `a/**` for any depth"),
        ("[a", "has a `[` without its `]`"),
        ("[]", "has a `[` without its `]`"),
        ("[!]", "has a `[` without its `]`"),
        ("[a\\", "has a `[` without its `]`"),
        ("[[:alpha:]", "has a `[` without its `]`"),
        ("[a/b]", "has a `[` without its `]`"),
        ("[z-a]", "has a range that ends before it starts: z-a"),
        ("a" * 4097, "is longer than 4096 bytes"),
        ("é" * 2049, "is longer than 4096 bytes"),
    ],
)
def test_a_glob_that_means_nothing_is_refused_and_overlaps_everything(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise_glob(text)

    assert caught.value.message.endswith(" " + reason)
    assert len(caught.value.message) < 300
    assert "backslash" in caught.value.hint
    if text.strip() and not text.startswith("glob:"):
        assert overlap("glob:" + text, "any/path")


def test_the_longest_glob_is_taken() -> None:
    for text in ("a" * wildcard.PATTERN_BYTES_MAX, "é" * (wildcard.PATTERN_BYTES_MAX // 2)):
        assert normalise_glob(text) == "glob:" + text
        assert not overlap("glob:" + text, "any/path")


@given(st.text("ab*?[]!^-\\/. :é", max_size=12))
def test_a_spelling_stays_and_means_the_same(text: str) -> None:
    try:
        name = normalise_glob(text)
    except UsageError:
        return

    assert normalise_glob(name) == name
    assert normalise_glob("./" + name[5:]) == (name if "/" in name[5:-1] else "glob:/" + name[5:])
    if text == text.rstrip(" "):
        assert wildcard._parse(text.removeprefix("glob:"))[0] == wildcard._parse(name[5:])[0]
        for path in ("a", "b", "a/b", "b/a", "ab/a/b", ".a", "a.b", "[a]", "é"):
            assert overlap("glob:" + text.removeprefix("glob:"), path) is overlap(name, path)


def test_names_without_a_glob_load_no_glob_reader() -> None:
    assert "wildcard" not in vars(pattern)


@pytest.mark.parametrize(
    ("name", "other", "is_covered"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/a.py", "src/", False),
        ("src/", "src/a.py", True),
        ("src/", "src/sub/", True),
        ("src/sub/", "src/", False),
        ("./", "src/", True),
        ("./", "/etc/hosts", False),
        ("./", "glob:*.py", True),
        ("src/", "glob:src/**/*.py", True),
        ("src/", "glob:/src/x", True),
        ("src/", "glob:src/", False),  # matches at any depth
        ("src/", "glob:*.py", False),
        ("a[b]/", "glob:a[b]/x", False),  # a class, there
        ("glob:src/*.py", "src/a.py", True),
        ("glob:src/*.py", "src/a.txt", False),
        ("glob:src/*.py", "src/", False),
        ("glob:src/**", "glob:src/*.py", False),  # so it may be, but nobody asked the walk for it
        ("src/", "hardlink:1-2", False),
        ("hardlink:1-2", "hardlink:1-2", True),
        ("src/a.py", "glob:src/a.py", False),
    ],
)
def test_what_is_surely_inside(name: str, other: str, is_covered: bool) -> None:
    assert pattern.covers(name, other) is is_covered
    assert not is_covered or pattern.overlap(name, other)
