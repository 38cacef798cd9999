"""Codec: JSON in and out, the one module that imports it.

Compact, UTF-8, keys in the order given, no NaN. A value that is no JSON object is refused on both sides.
"""

from __future__ import annotations

import json
from json import encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _make_encode() -> Callable[[Any], str]:
    """The encoder made once: `JSONEncoder.encode` makes one per call, which is half of its time for a small record."""
    plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    make = getattr(encoder, "c_make_encoder", None)
    quote = getattr(encoder, "encode_basestring", None)
    if make is None or quote is None:
        return plain.encode
    fast = make(None, plain.default, quote, None, ":", ",", False, False, False)
    return lambda value: quote(value) if isinstance(value, str) else "".join(fast(value, 0))


_encode = _make_encode()
_decode = json.JSONDecoder().raw_decode


def encode(value: Any) -> str:
    """One line of JSON. Raises ValueError or TypeError for what JSON cannot say, lone surrogates included."""
    text = _encode(value)
    if not text.isascii():
        text.encode()
    return text


def decode(text: bytes | str) -> dict[str, Any]:
    """The JSON object in `text`; raises ValueError for anything else (also for nesting that is too deep)."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value, end = _decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    if text[end:].strip():
        raise ValueError("more than one JSON value")
    return value
