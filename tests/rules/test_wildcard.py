"""What a glob holds, checked against git itself, against pathspec, and against every path of a small world.

Never missed: whatever git or pathspec match is inside. Exact: and nothing else, where the module says so.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pathspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules import wildcard
from latchboard.rules.pattern import normalise_glob, overlap

# --- against git --------------------------------------------------------------------------------

GIT_TABLE = [
    *("*", "**", "***", "*/", "**/", "/*", "/**", "/**/", "**/*", "*/*", "**/**", "a/**", "a/**/", "**/a", "**/a/**"),
    *("a/**/b", "a/**/**/b", "a/***/b", "a/**b", "a**/b", "a**b", "**a", "a/*/b", "/a", "/a/", "a/", "a/b", "a/b/"),
    *("[ab]", "[a-c]", "[!a]", "[^a]", "[]a]", "[!]a]", "[]-a]", "[a-]", "[-a]", "[!-a]", "[--b]", "[a\\]]", "[\\]]"),
    *(
        "[a-\\c]",
        "[\\a-c]",
        "[a\\-c]",
        "[a-b-c]",
        "[[:alpha:]]",
        "[[:alpha:]-z]",
        "[![:alpha:]]",
        "[[:a]",
        "[[:]",
        "[[",
    ),
    *(
        "[a-a]",
        "[[]",
        "[*]",
        "[?]b",
        "[!!]",
        "[^^]",
        "[^!]",
        "[ab]*",
        "?",
        "??",
        "a?",
        "?/?",
        "\\a",
        "\\*",
        "a\\?",
        "\\[a",
    ),
    *("a[!b]c", "a[^b]c", "a[+-0]b", ".*", "*.*", "\\#", "#", "a#", "a\\ ", "a b", "*a*b*", "a*a*a", "-", "]", "a]"),
]
_SPECIAL = ["a", "b", "c", "*", "**", "?", "/", "/**/", "**/", "[ab]", "[!a]", "[a-b]", "[^-]", "\\a", "\\*", "[", "]"]
_SPECIAL += ["-", "!", "^", "\\", "[:alpha:]", "."]


def _random_patterns(count: int) -> list[str]:
    chance = random.Random(20261121)
    return ["".join(chance.choices(_SPECIAL, k=chance.randint(1, 6))) for _ in range(count)]


def _random_paths(count: int) -> list[str]:
    chance = random.Random(1121)
    words = [
        "a",
        "b",
        "c",
        "ab",
        "ba",
        "abc",
        "aab",
        "-",
        "]",
        "[",
        "!",
        "^",
        "*",
        "?",
        "\\",
        ".a",
        "a.b",
        "#",
        "a b",
        "a+b",
    ]
    paths = ["/".join(chance.choices(words, k=chance.randint(1, 4))) for _ in range(count)]
    return sorted({*words, "a/b", "a/b/c", "a/c/b", "a/a/b/b", *paths})


def _git_matches(root: Path, patterns: list[str], paths: list[str]) -> set[tuple[str, str]]:
    """Which pattern matches which path, in git's own opinion: a folder with a `.gitignore` for each pattern."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for i, pattern in enumerate(patterns):
        (root / f"p{i}").mkdir()
        (root / f"p{i}" / ".gitignore").write_text(pattern + "\n", encoding="utf-8")
    asked = "".join(f"p{i}/{path}\0" for i in range(len(patterns)) for path in paths)
    git = ["git", "-c", "core.ignoreCase=false", "-C", str(root), "check-ignore", "--no-index", "-z", "--stdin"]
    answer = subprocess.run(git, input=asked, capture_output=True, encoding="utf-8", check=False)
    assert answer.returncode in (0, 1), answer.stderr
    found = set()
    for line in answer.stdout.split("\0")[:-1]:
        folder, _, path = line.partition("/")
        found.add((patterns[int(folder[1:])], path))
    return found


@pytest.mark.process
@pytest.mark.needs_tool("git")
def test_a_glob_holds_what_git_matches_and_nothing_else(tmp_path: Path) -> None:
    raw = [p for p in dict.fromkeys(GIT_TABLE + _random_patterns(500)) if not p.startswith(("!", "#"))]
    canonical = {p: name[5:] for p in raw if (name := _name_or_none(p))}
    paths = _random_paths(60)

    patterns = list(dict.fromkeys([*raw, *canonical.values()]))
    ignored = _git_matches(tmp_path, patterns, paths)

    assert [p for p in GIT_TABLE if p != "#" and p not in canonical] == ["a**/b", "[["]
    assert len(ignored) > 3000
    for pattern, path in ignored:
        assert overlap("glob:" + pattern, path), f"missed: {pattern!r} holds {path!r}"
    for pattern in canonical.values():
        if "[:" in pattern or pattern.endswith("/"):
            continue  # said to hold more than in git
        wrong = [path for path in paths if overlap("glob:" + pattern, path) and (pattern, path) not in ignored]
        assert not wrong, f"not in git: {pattern!r} holds {wrong}"


def _name_or_none(pattern: str) -> str | None:
    try:
        return normalise_glob(pattern)
    except UsageError:
        return None


# --- against pathspec ---------------------------------------------------------------------------

_words = st.text("abc", min_size=1, max_size=4)
_path_lists = st.lists(_words, min_size=1, max_size=4)


@st.composite
def _generalised(draw: st.DrawFn, path: list[str]) -> str:
    """A pattern that holds `path` by construction."""
    beneath = draw(st.integers(0, len(path) - 1))
    parts = [_generalised_word(draw, word) for word in path[: len(path) - beneath]]
    start = draw(st.integers(0, len(parts)))
    end = draw(st.integers(start, len(parts)))
    if draw(st.booleans()):
        parts[start:end] = ["**"]
    if parts == ["**"] or parts[-1] != "**":
        if draw(st.booleans()):
            return parts[-1]  # at any depth
        return ("/" if draw(st.booleans()) else "**/") + "/".join(parts)
    return "/" + "/".join(parts) + ("" if beneath or end > start else "/*")


def _generalised_word(draw: st.DrawFn, word: str) -> str:
    out = ""
    for char in word:
        out += draw(st.sampled_from([char, char, "?", "*", f"*{char}", f"[{char}x]", f"[a-{char}]", f"\\{char}"]))
    out += draw(st.sampled_from(["", "", "*"]))
    while "**" in out:
        out = out.replace("**", "*")
    return out


def _pathspec_matches(pattern: str, path: str) -> bool:
    return pathspec.GitIgnoreSpec.from_lines([pattern]).match_file(path)


@given(st.data(), _path_lists)
def test_globs_made_from_one_path_are_never_missed(data: st.DataObject, words: list[str]) -> None:
    path = "/".join(words)
    one, other = data.draw(_generalised(words)), data.draw(_generalised(words))

    assume(_pathspec_matches(one, path) and _pathspec_matches(other, path))

    assert overlap(normalise_glob(one), path)
    assert overlap(normalise_glob(one), normalise_glob(other))
    for cut in range(1, len(words)):
        assert overlap(normalise_glob(one), "/".join(words[:cut]) + "/")


_texts = st.lists(st.sampled_from(["a", "b", "*", "**", "?", "/", "[ab]", "[a-c]", "\\a"]), min_size=1, max_size=7).map(
    "".join
)


@given(_texts, _texts, _path_lists)
def test_what_pathspec_matches_is_never_missed(one: str, other: str, words: list[str]) -> None:
    path = "/".join(words)
    first, second = _pathspec_or_none(one, path), _pathspec_or_none(other, path)

    assert overlap("glob:" + one, path) or not first
    assert overlap("glob:" + other, path) or not second
    assert overlap("glob:" + one, "glob:" + other) or not (first and second)


def _pathspec_or_none(pattern: str, path: str) -> bool:
    try:
        return _pathspec_matches(pattern, path)
    except ValueError:
        return False


# --- against every path of a small world --------------------------------------------------------


def _every(items: str | list[str], longest: int) -> list[tuple[str, ...]]:
    return [found for n in range(1, longest + 1) for found in itertools.product(items, repeat=n)]


def _pairs_agree(patterns: list[str], paths: list[str]) -> None:
    held = {p: frozenset(path for path in paths if overlap("glob:" + p, path)) for p in patterns}
    wrong = [
        (one, other)
        for one, other in itertools.combinations(patterns, 2)
        if overlap("glob:" + one, "glob:" + other) is held[one].isdisjoint(held[other])
    ]
    assert not wrong


def test_two_segments_meet_exactly_when_a_word_matches_both() -> None:
    patterns = ["/" + "".join(p) for p in _every(["a", "b", "*", "?", "[b-c]"], 3)]
    words = ["".join(w) for w in _every("abc", 6)]

    _pairs_agree([p for p in patterns if p not in ("/**", "/***")], words)


def test_two_globs_meet_exactly_when_a_path_is_in_both() -> None:
    patterns = ["/" + "/".join(p) for p in _every(["a", "b", "*", "**"], 4)]
    paths = ["/".join(w) for w in _every("ab", 8)]

    _pairs_agree(patterns, paths)


def test_a_glob_meets_a_folder_exactly_when_it_holds_something_there() -> None:
    paths = ["/".join(w) for w in _every("ab", 6)]
    folders = ["/".join(w) for w in _every("ab", 3)]

    for pattern in ["/".join(p) for p in _every(["a", "b", "*", "**", "?"], 3)]:
        for folder in folders:
            inside = [p for p in paths if (p + "/").startswith(folder + "/") and overlap("glob:" + pattern, p)]
            assert overlap("glob:" + pattern, folder + "/") is bool(inside), (pattern, folder)


def test_classes_share_what_they_have_in_common() -> None:
    classes = [
        "[a]",
        "[ab]",
        "[!a]",
        "[!ab]",
        "[b-d]",
        "[!b-d]",
        "[^]]",
        "[]]",
        "?",
        "[!a-cd-]",
        "[c-e!]",
        "b",
        "!",
        "-",
    ]
    chars = [chr(code) for code in range(1, 127) if chr(code) not in "/."]

    for one, other in itertools.product(classes, classes):
        common = [c for c in chars if overlap("glob:/x" + one, "x" + c) and overlap("glob:/x" + other, "x" + c)]
        assert overlap("glob:/x" + one, "glob:/x" + other) is bool(common), (one, other)


def test_a_question_mark_is_every_character_but_the_slash() -> None:
    chars = [chr(code) for code in range(1, 0x3000) if chr(code) != "/"] + ["\U0010ffff", "\udcff"]

    assert all(overlap("glob:/x?", "x" + char) for char in chars)
    assert not overlap("glob:/x?", "x/")
    assert not overlap("glob:/x?", "x/a")


def test_a_class_of_everything_has_nothing_outside() -> None:
    assert not overlap("glob:/x[!\1-\U0010ffff]", "xa")


# --- bounded work -------------------------------------------------------------------------------

_N = wildcard.PATTERN_BYTES_MAX
ADVERSARIES = {
    "stars against stars": ("glob:/" + "*a" * 2047, "glob:/" + "*a" * 2046 + "b"),
    "stars against a file": ("glob:/" + "*a" * 2047 + "?", "a" * 4095 + "b"),
    "stars against a long file": ("glob:/" + "*a" * 2040 + "?*b?", "a" * 1_000_000),
    "stars in every segment": ("glob:" + "*a*/" * 1000 + "b", "glob:" + "*a/" * 1300 + "c"),
    "any depth, again and again": ("glob:" + "**/*a*b/" * 500 + "c", "glob:" + "**/*b*a/" * 500 + "d"),
    "any depth against a deep file": ("glob:" + "**/a?*b/" * 500 + "c", "a/" * 2000 + "b"),
    "segments that all differ": (
        "glob:**/" + "/".join(f"*{i}?" for i in range(600)),
        "glob:**/" + "/".join(f"?{i}*" for i in range(600)),
    ),
    "questions against one long word": ("glob:" + "**/?*a?/" * 500 + "c", "a" * 4000),
    "classes that all differ": (
        "glob:/" + "".join(f"[{chr(200 + i)}-{chr(900 + i)}]*" for i in range(500)),
        "glob:/" + "".join(f"[{chr(220 + i)}-{chr(901 + i)}]*" for i in range(500)),
    ),
    "two wide classes": (
        "glob:/[" + "".join(chr(200 + 2 * i) for i in range(600)) + "]",
        "glob:/[" + "".join(chr(201 + 2 * i) for i in range(600)) + "]",
    ),
    "open classes": ("glob:" + "[[:" * 1300, "a"),
    "classes that are no classes": ("glob:/" + "[[:[:[:]" * 500, "a" * 500),
    "a million characters": ("glob:" + "*a" * 1_000_000, "glob:" + "*b" * 1_000_000),
    "a million segments": ("glob:**/a/**/b*c/d", "a/" * 1_000_000),
}


def _lines_run(call: Callable[[], object]) -> int:
    """Lines of wildcard.py that run during `call`: work as the interpreter counts it, not the code that is bounded."""
    count = 0

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        return local if frame.f_code.co_filename == wildcard.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("pair", ADVERSARIES.values(), ids=ADVERSARIES)
def test_the_worst_pairs_take_bounded_work(pair: tuple[str, str]) -> None:
    wildcard._shapes.clear()

    lines = _lines_run(lambda: overlap(*pair))
    lines_back = _lines_run(lambda: overlap(*reversed(pair)))

    assert lines < 10 * wildcard.WALK_STEPS_MAX
    assert lines_back < 10 * wildcard.WALK_STEPS_MAX


def test_a_glob_people_write_takes_few_steps() -> None:
    pair = ("glob:src/**/test_[a-z]*.py", "src/latchboard/rules/test_pattern.py")
    overlap(*pair)

    assert _lines_run(lambda: overlap(*pair)) < 1000


def test_pairs_of_the_longest_globs_with_stars_are_still_decided() -> None:
    longest = "glob:/" + "*a" * 2047

    assert len(longest) == 5 + _N - 1
    assert not overlap(longest + "b", "a" * 4096)
    assert not overlap(longest + "b", "glob:/" + "*a" * 2047 + "c")
    assert overlap(longest + "b", "glob:/" + "*b" * 2047)


def test_classes_too_wide_to_compare_are_said_to_meet() -> None:
    assert overlap(*ADVERSARIES["two wide classes"])


@pytest.mark.parametrize("steps", [0, 1, 5, 10])
def test_work_that_is_spent_answers_true(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    pair = ("glob:/a*[bc]d*e/f", "glob:/a*[xy]b*e/g")
    assert not overlap(*pair)

    monkeypatch.setattr(wildcard, "WALK_STEPS_MAX", steps)

    assert overlap(*pair)


def test_the_memory_of_globs_is_bounded() -> None:
    for i in range(3 * wildcard._SHAPES_COUNT_MAX):
        overlap(f"glob:x{i}*", "a")

    assert len(wildcard._shapes) <= wildcard._SHAPES_COUNT_MAX
