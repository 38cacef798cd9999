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


_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_quote: Callable[[str], str] = encoder.encode_basestring
# Made once: `JSONEncoder.encode` makes its C encoder anew per call, which is half of the time for a small record.
_make = getattr(encoder, "c_make_encoder", None)
_parts: Any = _make and _make(None, _plain.default, _quote, None, ":", ",", False, False, False)
_decode = json.JSONDecoder().raw_decode


_quoted: dict[str, str] = {}
_QUOTED_COUNT_MAX = 4096


def quote(text: str) -> str:
    """`text` as JSON; the last few thousand short answers are remembered, for keys and ids come again and again."""
    quoted = _quoted.get(text)
    if quoted is None:
        quoted = encode(text)
        if len(quoted) < 256:
            if len(_quoted) >= _QUOTED_COUNT_MAX:
                _quoted.clear()
            _quoted[text] = quoted
    return quoted


def encode(value: Any) -> str:
    """One line of JSON. Raises ValueError or TypeError for what JSON cannot say, lone surrogates included."""
    if type(value) is str:
        text = _quote(value)
    elif _parts is not None:
        text = "".join(_parts(value, 0))
    else:
        text = _plain.encode(value)
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
