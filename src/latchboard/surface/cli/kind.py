"""Kind: what the text of an option or argument is turned into; ValueError says why not, in words for people."""

from __future__ import annotations

_SECONDS_MAX = 1e9


def text(word: str) -> str:
    """Any text."""
    return word


def seconds(word: str) -> float:
    """A number of seconds from 0, with or without a fraction."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _SECONDS_MAX:
        raise ValueError(f"{word!r} is no number of seconds from 0 to {_SECONDS_MAX:.0f}")
    return value


def seconds_above_0(word: str) -> float:
    """A number of seconds above 0, with or without a fraction."""
    value = seconds(word)
    if not value:
        raise ValueError(f"{word!r} is no number of seconds above 0")
    return value


def count(word: str) -> int:
    """A whole number from 1."""
    try:
        value = number(word)
    except ValueError:
        value = 0
    if not value:
        raise ValueError(f"{word!r} is no whole number from 1")
    return value


def number(word: str) -> int:
    """A whole number from 0 that fits into 63 bits."""
    if not word.isascii() or not word.isdecimal() or len(word) > 19 or int(word) >= 2**63:
        raise ValueError(f"{word!r} is no whole number from 0")
    return int(word)
