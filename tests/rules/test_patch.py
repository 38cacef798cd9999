"""A patch's files: never fewer than its headers say, for any text; and what a fault says."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latchboard.rules import patch

# Names that somebody means ill with: separators, blanks, headers and commands in disguise, what no terminal should get.
HOSTILE = st.one_of(
    st.sampled_from(
        [
            "a b",
            "-rf",
            "../../x",
            "/etc/passwd",
            "*** Delete File: x",
            "@@ x",
            "+x",
            "a\u2028b",
            "a\x85b",
            "\x1b[2J",
            "~/x",
        ]
    ),
    st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
)
HEADER = st.sampled_from(["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "])
CONTENT = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40)


def as_codex_takes_it(name: str) -> str:
    """What Rust's `trim` leaves of the end of a line, written apart from the code under test."""
    while name and (name[-1].isspace() and name[-1] not in "\x1c\x1d\x1e\x1f"):
        name = name[:-1]
    return name


@given(st.lists(st.tuples(HEADER, HOSTILE, st.lists(CONTENT, max_size=3)), min_size=1, max_size=8))
@example([("*** Add File: ", "a\x1f", [])])
@example([("*** Add File: ", " a", [])])
def test_no_file_of_a_patch_is_missed(hunks: list[tuple[str, str, list[str]]]) -> None:
    lines = ["*** Begin Patch"]
    for header, name, content in hunks:
        lines += [header + name, *(f"+{line}" for line in content)]

    found = patch.read("\n".join([*lines, "*** End Patch"]))

    meant = [as_codex_takes_it(name) for _, name, _ in hunks]
    assert {name for name in meant if name} <= set(found.paths)
    assert all(meant) or found.fault


@given(st.lists(st.tuples(HEADER, HOSTILE), min_size=1, max_size=5), st.integers(0, 40), st.sampled_from("+- @x"))
def test_a_line_more_takes_no_file_away(hunks: list[tuple[str, str]], at: int, sign: str) -> None:
    lines = ["*** Begin Patch", *(header + name for header, name in hunks), "*** End Patch"]
    before = patch.read("\n".join(lines))

    lines.insert(at % (len(lines) + 1), sign + "something")

    assert set(before.paths) <= set(patch.read("\n".join(lines)).paths)


@given(
    st.text()
    | st.lists(st.sampled_from(["***", " ", "Add File:", "Move to:", "a", "\0", "\r", "\n", "\ud800"])).map("".join)
)
def test_any_text_is_read(text: str) -> None:
    found = patch.read(text)

    assert found.paths or found.fault
    for path in found.paths:
        assert path.strip()
        assert "\0" not in path
        assert "\n" not in path
        path.encode()
    assert found.fault.isprintable()
    assert len(found.fault) < 200


@given(
    st.text(),
    st.sampled_from(["", "cd a && ", "cd 'a b' && ", "x; "]),
    st.sampled_from(["EOF", "'EOF'", '"EOF', "$(x)"]),
)
def test_any_script_is_read(text: str, before: str, end: str) -> None:
    command = f"{before}apply_patch <<{end}\n*** Begin Patch\n*** Add File: a\n+{text}\n*** End Patch\nEOF"

    found = patch.in_script(command)

    assert found is not None
    assert "a" in found.patch.paths
    assert patch.in_script(text) is None or "*** Begin Patch" in text


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["*** Begin Patch", "*** End Patch"], "it has no header that names a file"),
        (["*** Begin Patch", "*** Add File:"], "line 2 of it, `*** Add File:`, names no file"),
        (["*** Rename\x1b[2J: a"], "line 1 of it, `*** Rename?[2J: a`, is no header that is known here"),
        (["*** " + "x" * 200], "line 1 of it, `*** " + "x" * 116 + "...`, is no header that is known here"),
        (
            ["*** One: a", "*** Add File: \0", "*** Two: b"],
            "line 1 of it, `*** One: a`, is no header that is known here",
        ),
        (["*** Add File: \0", "*** Two: b"], "line 1 of it, `*** Add File: ?`, names no file"),
    ],
)
def test_a_fault_names_the_first_line_that_is_to_blame(lines: list[str], fault: str) -> None:
    assert patch.read("\n".join(lines)).fault == fault


@pytest.mark.parametrize(
    ("first", "folder"),
    [
        ("cd a && apply_patch <<EOF", "a"),
        ('cd "a b" && apply_patch <<EOF', "a b"),
        ('cd "$a" && apply_patch <<EOF', ""),
        ("cd '' && apply_patch <<EOF", ""),
        ("cd a b && apply_patch <<EOF", ""),
        ("cd ~/a && apply_patch <<EOF", ""),
        ("cd a; apply_patch <<EOF", ""),
    ],
)
def test_a_folder_is_believed_only_where_it_is_plain(first: str, folder: str) -> None:
    found = patch.in_script(f"{first}\n*** Begin Patch\n*** Add File: a\n*** End Patch\nEOF")

    assert found is not None
    assert (found.folder, found.is_whole) == (folder, bool(folder))


def test_a_large_patch_is_read_in_one_go() -> None:
    text = "*** Begin Patch\n" + "".join(f"*** Update File: f{i}\n@@\n-{'x' * 500}\n" for i in range(4000))

    assert len(patch.read(text).paths) == 4000
