"""Body: what a request brings, read within limits and held to its schema before anything is done.

Understands the part of JSON Schema that the schemas of requests use (protocol/schema/post-*.json).

Protocol: protocol/http.md, "Requests".
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from latchboard.codec import decode_strictly
from latchboard.errors import UsageError
from latchboard.surface.web.failure import HttpError

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

    Schema = dict[str, Any]

BODY_S = 10.0
"""How long a client may take to say the whole of it."""

_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list of texts",
}
_SHOWN_CHARS = 60


async def read(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        HttpError: It is said to be something else, it does not come, or it is too large.
        UsageError: It is no JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError(415, "unsupported-media-type", "a body is JSON here: `Content-Type: application/json`")
    try:
        async with asyncio.timeout(BODY_S):
            data = await request.body()
    except TimeoutError:
        headers = {"connection": "close"}
        raise HttpError(408, "timeout", f"the body did not come within {BODY_S:g} s", headers=headers) from None
    try:
        return decode_strictly(data)
    except ValueError as exc:
        raise UsageError(f"the body is no JSON object: {exc}", hint='for example {"agent": "operator"}') from exc


def check(given: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The fields, if they are what the schema of an object says.

    Raises:
        UsageError: They are not; says which one, and what it should be.
    """
    if "oneOf" in schema:
        schema = _alternative(given, schema["oneOf"])
    known: dict[str, Any] = schema["properties"]
    hint = f"it takes {', '.join(known)}" if known else "it takes {}"
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"there is no field {_shown(unknown[0])}", hint=hint)
    missing = [name for name in schema.get("required", ()) if name not in given]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given", hint=hint)
    return {name: _checked(name, known[name], value) for name, value in given.items()}


def _alternative(given: dict[str, Any], alternatives: list[Schema]) -> Schema:
    """Which of several objects is meant: each has one field with a word of its own."""
    words: list[str] = []
    for schema in alternatives:
        for name, one in schema["properties"].items():
            if "const" in one:
                if given.get(name) == one["const"]:
                    return schema
                words.append(one["const"])
                said = name
    raise UsageError(f"{said} is one of {', '.join(words)}, not {_shown(given.get(said))}")


def _checked(name: str, schema: Schema, value: Any) -> Any:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None:
        if not any(type(value) is type(one) and value == one for one in choices):
            raise UsageError(f"{name} is one of {', '.join(map(str, choices))}, not {_shown(value)}")
        return value
    kind = schema["type"]
    if not _is(kind, value):
        raise UsageError(f"{name} is {_KINDS[kind]}, not {_shown(value)}")
    if kind == "array":
        for one in value:
            _checked(f"each of {name}", schema["items"], one)
        _check_size(name, schema, "Items", "entries", len(value))
    elif kind == "string":
        _check_text(name, value)
        _check_size(name, schema, "Length", "characters", len(value))
    elif kind in ("integer", "number"):
        return _check_number(name, schema, value)
    return value


def _is(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "number":
        return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, str if kind == "string" else list)


def _check_size(name: str, schema: Schema, what: str, unit: str, size: int) -> None:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}", math.inf)
    if not least <= size <= most:
        limits = f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise UsageError(f"{name} has {size} {unit}; it has {limits}")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        why = f"{name} has half a character in it, which no file or record can keep: {_shown(text)}"
        raise UsageError(why) from exc


def _check_number(name: str, schema: Schema, value: float) -> float:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    if not (least <= value <= most and value > above):
        limits = f"above {above}" if above > -math.inf else f"at least {least}"
        raise UsageError(f"{name} is {limits} and at most {most}, not {_shown(value)}")
    return int(value) if schema["type"] == "integer" else value


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
