"""rules/git.py: lists of paths, and lines that nobody wrote on purpose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import git as rules


@pytest.mark.parametrize(
    ("listing", "expect"),
    [
        (b"", []),
        (b"src/a.py\0", [b"src/a.py"]),
        (b"b\0a\0b\0", [b"b", b"a"]),
        (b"two\nlines\0\xff\xfe\0 \0", [b"two\nlines", b"\xff\xfe", b" "]),
        (b"\0\0a\0", [b"a"]),
    ],
)
def test_paths_end_at_a_nul_alone(listing: bytes, expect: list[bytes]) -> None:
    assert rules.paths(listing) == expect


@pytest.mark.parametrize("listing", [b"a", b"a\0b", b"\n"])
def test_list_without_its_end_is_refused(listing: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        rules.paths(listing)


@given(st.lists(st.binary(min_size=1).filter(lambda path: b"\0" not in path), unique=True))
def test_no_path_is_lost_or_made_up(paths: list[bytes]) -> None:
    assert rules.paths(b"".join(path + b"\0" for path in paths)) == paths


@given(st.binary(max_size=300))
def test_lines_that_are_rubbish_say_nothing_and_raise_nothing(data: bytes) -> None:
    for old, new in rules.rewritten(data):
        assert rules.is_commit(old) and rules.is_commit(new)
    for here, there in rules.pushed(data):
        assert rules.is_commit(here) and (not there or rules.is_commit(there))
    move = rules.moved(data)
    assert move is None or rules.is_commit(move[1])
