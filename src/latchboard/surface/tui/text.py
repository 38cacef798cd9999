"""Text: what others wrote, so that it cannot steer a terminal, and cut and filled to cells.

Law. What `shown` gives has no character that moves the cursor, and all terminals agree how wide it is.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS_MAX = 2
"""Accents on one letter: of names that people write, none has more; hundreds of them paint over other lines."""

_ODD = frozenset(
    [
        *map(chr, range(0x1160, 0x1200)),  # halves of Korean syllables: some terminals join them, some do not
        *map(chr, range(0xFE00, 0xFE10)),  # variation selectors: one cell here, two there
        *map(chr, range(0x1F1E6, 0x1F200)),  # halves of flags
        *map(chr, range(0x1F3FB, 0x1F400)),  # colours of skin
        "\u115f",
        "\u3164",
        "\uffa0",
    ]
)


@lru_cache(maxsize=32768)
def shown(text: str) -> str:
    """`text` on one line, with everything written out as an escape that could steer a terminal or has no sure width."""
    if text.isascii() and text.isprintable():
        return text
    found: list[str] = []
    marks = 0
    for letter in text:
        is_mark = unicodedata.category(letter) in ("Mn", "Me", "Mc")
        marks = marks + 1 if is_mark else 0
        is_plain = letter.isprintable() and letter not in _ODD and marks <= _MARKS_MAX
        if is_mark and not found:
            is_plain = False  # it would sit on what stands before
        found.append(letter if is_plain else letter.encode("unicode_escape").decode("ascii"))
    return "".join(found)


def width(text: str) -> int:
    """How many cells a text takes that was made `shown`."""
    return len(text) if text.isascii() else cell_len(text)


def end_cut(text: str, cells: int) -> str:
    """`text` in at most so many cells; its end is cut."""
    if cells <= 0:
        return ""
    text = text[: (_MARKS_MAX + 1) * (cells + 1)]
    return text if width(text) <= cells else _head(text, cells - 1) + "…"


def middle_cut(text: str, cells: int) -> str:
    """`text` in at most so many cells; cut in the middle, for what ends with the word that matters: paths."""
    if cells <= 0:
        return ""
    most = (_MARKS_MAX + 1) * (cells + 1)
    if len(text) <= 2 * most and width(text) <= cells:
        return text
    ahead = (cells - 1) // 3
    return _head(text[:most], ahead) + "…" + _tail(text[-most:], cells - 1 - ahead)


def filled(text: str, cells: int, *, right: bool = False) -> str:
    """`text` in exactly so many cells."""
    text = end_cut(text, cells)
    space = " " * (cells - width(text))
    return space + text if right else text + space


def listing(names: Iterable[str]) -> str:
    """Names in a row."""
    return ", ".join(shown(name) for name in names)


def few(names: list[str], one: str) -> str:
    """A name or two; of more of them how many: `src/a.py`, `38 locks`."""
    return listing(names) if len(names) <= 2 else f"{len(names)} {one}s"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 lock`, `3 locks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _head(text: str, cells: int) -> str:
    if text.isascii():
        return text[:cells]
    used = 0
    for at, letter in enumerate(text):
        used += cell_len(letter)
        if used > cells:
            return text[:at]
    return text


def _tail(text: str, cells: int) -> str:
    if text.isascii():
        return text[max(0, len(text) - cells) :] if cells > 0 else ""
    used = 0
    for at in range(len(text) - 1, -1, -1):
        used += cell_len(text[at])
        if used > cells:
            rest = text[at + 1 :]
            return rest.lstrip("".join(c for c in rest[:_MARKS_MAX] if unicodedata.category(c)[0] == "M"))
    return text
