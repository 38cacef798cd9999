"""Answer: facts as one JSON object, whatever stands in them."""

from __future__ import annotations

from latchboard.codec import encode, sayable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def answer(facts: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The object that goes to the client, and the same as text: for clients that show a model nothing else."""
    whole = {"format": 1, **facts}
    try:
        text = encode(whole)
        text.encode("utf-8")
    except ValueError:  # a file name that is no Unicode text, or a number that is none
        whole = sayable(whole)
        text = encode(whole)
    return whole, text
