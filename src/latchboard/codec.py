"""Codec: JSON in and out, the one module that knows how.

Compact, UTF-8, keys in the order given, no NaN out. A value that is no JSON object is refused on both sides.

The scanner and the encoder are those of the standard library's `json`, taken from where that package takes them: itself
it costs a short-lived process 8 ms, more than everything else that a hook loads, for regular expressions and an
enumeration that neither needs. Where this interpreter has no `_json`, it is the package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _refuse(value: object) -> None:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_quote: Callable[[str], str]
_parts: Any
_decode: Callable[[str, int], tuple[Any, int]]
try:
    from _json import encode_basestring, make_encoder, make_scanner
except ImportError:  # an interpreter without the C modules
    import json
    from json import encoder

    _plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    _quote = encoder.encode_basestring
    _parts = lambda value, level: [_plain.encode(value)]  # noqa: E731 - the shape of the C encoder
    _decode = json.JSONDecoder().raw_decode
    _TROUBLE: tuple[type[Exception], ...] = ()
else:

    class _Context:
        """What the C scanner asks a decoder for; the values are those of `json.JSONDecoder()`."""

        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
        array_hook = None

    _quote = encode_basestring
    # Made once: `JSONEncoder.encode` makes its C encoder anew per call, which is half of the time for a small record.
    _parts = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
    _decode = make_scanner(_Context())  # type: ignore[arg-type]  # typeshed knows the decoder of the package alone
    # A scanner that finds no JSON looks for the exception in the package, and where that is not loaded has none.
    _TROUBLE = (StopIteration, SystemError)


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
    text = _quote(value) if type(value) is str else "".join(_parts(value, 0))
    if not text.isascii():
        text.encode()
    return text


def sayable(value: Any) -> Any:
    """`value` as JSON can say it: text that is no Unicode (a file name) with escapes, a number that is none as null."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {sayable(key): sayable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [sayable(one) for one in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def prepare_errors() -> None:
    """Load what `decode` words an error with; for whoever must not import anything when it comes to that."""
    import json.decoder  # noqa: F401


def decode(text: bytes | str) -> dict[str, Any]:
    """The JSON object in `text`; raises ValueError for anything else (also for nesting that is too deep)."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value, end = _decode(text, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except _TROUBLE:
        raise _why(text) from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    if text[end:].strip():
        raise ValueError("more than one JSON value")
    return value


def decode_strictly(text: bytes | str) -> dict[str, Any]:
    """As `decode`, and a key that comes twice in an object is refused (ValueError): which of the two was meant?"""
    import json

    value = decode(text)
    try:
        json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{ascii(key)[:80]} comes twice")
        found[key] = value
    return found


def _why(text: str) -> ValueError:
    """What the package says about a text that is no JSON."""
    import json

    try:
        json.JSONDecoder().raw_decode(text)
    except ValueError as exc:
        return exc
    return ValueError("no JSON")
