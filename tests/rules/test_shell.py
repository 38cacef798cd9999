"""Shell: any text has an answer, soon; what is seen from where. What commands write is in protocol/vectors/shell/."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.rules.shell import CHARS_MAX, STEPS_MAX, writes

_WORDS = """$( ${ $(( )) && || >> << <<- <<< 2> &> >& rm mv cp git cd eval case in esac if then fi for do done [[ ]] a
b/c EOF -f -- x= sudo ä"""
PIECES = st.sampled_from(
    [*" \t\n;&|<>()'\"\\$`#*?[]{}~!=-", *_WORDS.split(), "sed -i", "perl -i", "git checkout", "git stash", "sh -c"]
)
_LONG = r"""$a $( `a` ${ ( ) 1 ; " ' ` \\ a=( (( ${a:- \\' &> git_stash; rm_*; $' #_ sh_-c_'rm_a'; cd_a; eval_eval_ [[_
{_ >a_ if_ x=$(a)_ <(a)_ <<a_ a_ 1_ case_x_in_ 'a'_"b"_ sed_-i_''_ rm_a\n cat_<<E\nE\n"""
"""Pieces that are repeated; `_` stands for a blank."""


@given(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=40))
@settings(max_examples=400)
def test_any_text_has_an_answer(pieces: str, text: str) -> None:
    for command in (pieces, text, pieces + text, pieces.replace("", " ")):
        found = writes(command)

        assert len(found) == len(set(found))
        assert all(write.kind and "\0" not in write.path for write in found)


@pytest.mark.slow  # it measures: not under coverage
@pytest.mark.parametrize(
    "piece", [*(piece.replace("_", " ").replace("\\n", "\n") for piece in _LONG.split()), "\n", "\u2028"]
)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    """Four times the text takes four times as long, not sixteen times; the longest a tenth of a second or so.

    So long is forty times what it takes to look at its characters: the processor may be slow, or serve others too.
    """
    short, long = (piece * (chars // len(piece)) for chars in (25_000, 100_000))
    of_short = of_long = yard = 1e9
    for _ in range(20):
        of_short, of_long = min(of_short, _took_s(writes, short)), min(of_long, _took_s(writes, long))
        yard = min(yard, _took_s(_look, long))
        if of_long < min(40 * yard, 8 * of_short + 0.001):
            break

    assert of_long < 40 * yard
    assert of_long < 8 * of_short + 0.001


def _took_s(action: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    action(text)
    return time.process_time() - began


def _look(text: str) -> int:
    count = 0
    for char in text:
        count += char == "a"
    return count


def test_a_long_document_in_a_command_line_is_no_obstacle() -> None:
    text = "cat > f <<'EOF'\n" + "some line of text > g\n" * 4000 + "EOF\nrm h\n"

    assert [repr(one) for one in writes(text)] == ["path f", "tree h"]


def test_what_is_longer_than_a_command_line_is_not_read() -> None:
    assert writes("rm a;" + " " * (CHARS_MAX - 5)) != []
    assert writes("rm a;" + " " * (CHARS_MAX - 4)) == []
    assert writes("rm a\n" + ": \n" * STEPS_MAX) == []


def test_paths_are_seen_from_the_folder_of_the_call() -> None:
    found = writes("rm a /b; cd c; rm d; git stash", "/srv/app")

    assert [repr(one) for one in found] == [
        "tree /srv/app/a",
        "tree /b",
        "tree /srv/app/c/d",
        "git-reset /srv/app/c HEAD",
    ]
    assert [repr(one) for one in writes("rm a", "/")] == ["tree /a"]


def test_a_nul_is_no_command() -> None:
    assert writes("rm a\0b") == []


def test_depth_is_bounded() -> None:
    assert writes("( " * 10 + "rm a" + ")" * 10) != []
    assert writes("( " * 100 + "rm a" + ")" * 100) == []
    assert writes("(:); ${a:-$b};" * 100 + "rm a") != []  # one behind the other is not deep
