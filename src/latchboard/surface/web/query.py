"""Query: what stands behind the question mark of an address, read strictly: what is not known is refused.

Protocol: protocol/http.md, "Requests".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latchboard.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

REVISION_MAX = 2**53
"""Beyond that not every program of the web can say a whole number."""
_DIGITS_MAX = 16
_SHOWN_CHARS = 60


class Query:
    """The parameters of one request, by name, each at most once."""

    def __init__(self, request: Request, known: tuple[str, ...]) -> None:
        """Take those that are known.

        Raises:
            UsageError: There are others, or one comes twice.
        """
        self._found: dict[str, str] = {}
        for name, text in request.query_params.multi_items():
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise UsageError(f"{request.url.path} knows no parameter {_shown(name)}", hint=takes)
            if name in self._found:
                raise UsageError(f"the parameter {name} comes twice")
            self._found[name] = text

    def text(self, name: str) -> str | None:
        """A text, as it was given; None: it was not."""
        return self._found.get(name)

    def number(self, name: str, *, least: int = 0, most: int = REVISION_MAX) -> int | None:
        """A whole number in digits; None: none was given.

        Raises:
            UsageError: It is none, or not between `least` and `most`.
        """
        text = self._found.get(name)
        return None if text is None else number(name, text, least=least, most=most)


def number(name: str, text: str, *, least: int = 0, most: int = REVISION_MAX) -> int:
    """The number that a text says, in digits.

    Raises:
        UsageError: See `Query.number`.
    """
    value = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else -1
    if not least <= value <= most:
        raise UsageError(f"{name} is a whole number from {least} to {most}, not {_shown(text)}")
    return value


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
