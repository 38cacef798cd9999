"""What others wrote cannot steer a terminal, and takes the cells that were given to it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from latchboard.surface.tui import ages, text
from tests.surface.tui.harness import HOSTILE

anything = st.one_of(st.text(max_size=80), st.sampled_from(HOSTILE))


def steers(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@given(anything)
def test_nothing_that_is_shown_steers_a_terminal(given_text: str) -> None:
    shown = text.shown(given_text)

    assert not any(map(steers, shown))
    assert text.width(shown) == sum(max(0, cell_len(letter)) for letter in shown)


@given(anything, st.integers(-2, 60))
def test_what_is_cut_fits_and_what_fits_is_not_cut(given_text: str, cells: int) -> None:
    shown = text.shown(given_text)

    for cut in (text.end_cut, text.middle_cut):
        found = cut(shown, cells)
        assert text.width(found) <= max(0, cells)
        if text.width(shown) <= cells and len(shown) <= 3 * (cells + 1):
            assert found == shown
        elif cells > 0 and text.width(shown) > cells:
            assert "…" in found
    assert text.width(text.filled(shown, max(0, cells))) == max(0, cells)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("src/a.py", "src/a.py"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202egnp", "\\u202egnp"),
        ("\u65e5\u672c", "\u65e5\u672c"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 4, "e\u0301\u0301\\u0301\\u0301"),
        ("\u0301a", "\\u0301a"),
        ("\u2764\ufe0f", "\u2764\\ufe0f"),
        ("\ud800", "\\ud800"),
    ],
)
def test_letters_stay_and_what_is_none_is_written_out(given_text: str, shown: str) -> None:
    assert text.shown(given_text) == shown


def test_of_a_path_the_name_of_the_file_stays() -> None:
    assert text.middle_cut("src/very/long/way/down/to/file.py", 20) == "src/ve…wn/to/file.py"
    assert text.middle_cut("x" * 4096 + "/file.py", 12).endswith("file.py")
    assert text.end_cut("splitting the parser", 10) == "splitting…"


def test_few_names_are_named_and_many_are_counted() -> None:
    assert text.few(["a"], "file") == "a"
    assert text.few(["a", "b"], "file") == "a, b"
    assert text.few(["a", "b", "c"], "file") == "3 files"


@pytest.mark.parametrize(
    ("seconds", "short"),
    [
        *(
            (-5, "now"),
            (0.9, "now"),
            (1, "1s"),
            (99, "99s"),
            (100, "1m"),
            (5999, "99m"),
            (6000, "1h"),
            (172_799, "47h"),
        ),
        *((172_800, "2d"), (86_400 * 99, "99d"), (86_400 * 100, "14w"), (604_800 * 100, "99w+")),
    ],
)
def test_ages_take_four_cells(seconds: float, short: str) -> None:
    assert ages.short(seconds) == short
    assert len(short) <= 4


def test_what_is_no_time_is_told_as_that() -> None:
    assert ages.since("yesterday", 0.0) == "?"
    assert ages.since(None, 0.0) == ""
    assert ages.until("tomorrow", 0.0) == ages.until(None, 0.0) == "?"
    assert ages.until("2026-11-21T01:00:00.000000Z", 1e12) == "over"
    assert ages.clock("noon") == "??:??:??"
    assert ages.clock("2026-11-21T01:02:03.000000Z") == "01:02:03"
