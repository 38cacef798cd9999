"""Colours that can be read on their background, and that nobody needs to tell apart."""

from __future__ import annotations

import pytest

from latchboard.surface.tui import look


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", look.COLOURS)
@pytest.mark.parametrize("background", ["background", "band", "cursor", "cursor-off"])
def test_every_text_can_be_read_on_every_background(theme: str, background: str) -> None:
    colours = look.COLOURS[theme]
    poor = {
        name: round(contrast(colours[name], colours[background]), 2)
        for name in ("foreground", "focus", *look.STYLES)
        if contrast(colours[name], colours[background]) < 4.5
    }

    assert not poor


def test_both_themes_have_the_same_colours_and_every_style_has_one() -> None:
    dark, light = look.COLOURS.values()

    assert dark.keys() == light.keys() >= set(look.STYLES)


@pytest.mark.parametrize(
    ("asked", "background", "theme"),
    [
        ("auto", None, look.DARK),
        ("auto", "15;0", look.DARK),
        ("auto", "0;15", look.LIGHT),
        ("auto", "0;default;7", look.LIGHT),
        ("auto", "nonsense", look.DARK),
        ("dark", "0;15", look.DARK),
        ("light", None, look.LIGHT),
    ],
)
def test_the_theme_is_what_was_asked_for_or_what_the_terminal_says(
    asked: str, background: str | None, theme: str
) -> None:
    assert look.theme_of(asked, {} if background is None else {"COLORFGBG": background}) == theme


def test_an_agent_has_the_same_colour_every_time() -> None:
    assert look.agent_style("planner") == look.agent_style("planner")
    assert {look.agent_style(f"agent-{number}") for number in range(50)} == set(look.AGENT_STYLES)
    assert look.agent_style("\ud800") in look.AGENT_STYLES
