"""Secret: a text that is not shown by accident: not by print, repr, format, a traceback's locals, pickle or JSON."""

from __future__ import annotations

import hmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """Wraps a token; `reveal()` is the one way to it, and easy to search for."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself: for a request's body and a store's file, nothing else."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), other.__text.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would be a trace of it

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
