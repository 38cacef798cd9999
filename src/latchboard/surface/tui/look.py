"""Look: colours for dark and light terminals. No colour says anything that is not said in words as well.

The colours are those of Okabe and Ito (2008), which people with any kind of colour blindness tell apart, made lighter
or darker until each has a contrast of 4.5 or more against its background (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Mapping

DARK, LIGHT = "latchboard-dark", "latchboard-light"
AGENT_STYLES = ("agent-0", "agent-1", "agent-2", "agent-3", "agent-4", "agent-5")
STYLES = ("dim", "strong", "wait", "bad", *AGENT_STYLES)
"""What a piece of a line may be; empty: as the rest."""

COLOURS: dict[str, dict[str, str]] = {
    DARK: {
        "background": "#101418",
        "band": "#1d252c",
        "cursor": "#1f384c",
        "cursor-off": "#26303a",
        "foreground": "#e8eaed",
        "dim": "#9aa5b1",
        "strong": "#ffffff",
        "wait": "#f0b429",
        "bad": "#ff8a65",
        "focus": "#56b4e9",
        "agent-0": "#6cc0f0",
        "agent-1": "#e6a817",
        "agent-2": "#f0e442",
        "agent-3": "#3ed6a8",
        "agent-4": "#f0a8d0",
        "agent-5": "#c3ccff",
    },
    LIGHT: {
        "background": "#ffffff",
        "band": "#eef1f4",
        "cursor": "#cfe6f7",
        "cursor-off": "#e4e9ee",
        "foreground": "#1b1f24",
        "dim": "#565f69",
        "strong": "#000000",
        "wait": "#7a4b00",
        "bad": "#a02c00",
        "focus": "#005a94",
        "agent-0": "#005a94",
        "agent-1": "#7a4b00",
        "agent-2": "#5c5200",
        "agent-3": "#005f45",
        "agent-4": "#86306a",
        "agent-5": "#43379b",
    },
}


def themes() -> list[Theme]:
    """Both."""
    return [_theme(name, colours) for name, colours in COLOURS.items()]


def _theme(name: str, colours: dict[str, str]) -> Theme:
    return Theme(
        name=name,
        primary=colours["focus"],
        secondary=colours["focus"],
        accent=colours["wait"],
        warning=colours["wait"],
        error=colours["bad"],
        success=colours["agent-3"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=colours["background"],
        panel=colours["band"],
        dark=name == DARK,
        variables={f"board-{piece}": colour for piece, colour in colours.items()},
    )


def theme_of(asked: str, environment: Mapping[str, str]) -> str:
    """The theme for `auto`, `dark` or `light`; auto looks at COLORFGBG, which some terminals set, else it is dark."""
    if asked == "auto":
        background = environment.get("COLORFGBG", "").rpartition(";")[2]
        asked = "light" if background in ("7", "15") else "dark"
    return LIGHT if asked == "light" else DARK


def agent_style(agent: str) -> str:
    """The style of an agent's name: the same for it everywhere and every time."""
    return AGENT_STYLES[zlib.crc32(agent.encode("utf-8", "backslashreplace")) % len(AGENT_STYLES)]
