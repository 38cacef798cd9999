"""Answer: facts as one JSON object, whatever stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from latchboard.codec import encode, sayable

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
"""Version of every JSON answer (protocol/cli.md, "Answers")."""


def answer(facts: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The response with `facts`, the format in front."""
    return Response(to_text({"format": FORMAT, **facts}), status, headers, "application/json")


def to_text(whole: dict[str, Any]) -> str:
    """JSON of an object in which others may have put what JSON cannot say: file names that are no Unicode text."""
    try:
        return encode(whole)
    except ValueError:
        return encode(sayable(whole))
