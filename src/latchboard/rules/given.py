"""Given: an object that a caller gave, held to its JSON Schema before anything is done with it.

Understands the part of JSON Schema in which protocol/http.md and protocol/mcp.md say what they take. The words are for
people and for models: each says what is wrong with which field, so that the next try can be better.

Protocol: protocol/mcp.md, "Tools"; protocol/http.md, "Addresses".
"""

from __future__ import annotations

import math

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Schema = dict[str, Any]

_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list of texts",
}
_SHOWN_CHARS = 60


def check(whole: str, schema: Schema, given: object) -> dict[str, Any]:
    """The fields of an object, if they are what its schema says; a whole number is an int, however it was written.

    Args:
        whole: What it is called in messages: the tool whose arguments they are, or "the body".
        schema: Of an object, or `oneOf` several, each of which has a field with a constant of its own.
        given: What came.

    Raises:
        UsageError: They are not; says which one, and what it should be.
    """
    if not isinstance(given, dict):
        raise UsageError(f"{whole} takes an object, not {_shown(given)}")
    if "oneOf" in schema:
        schema = _alternative(whole, schema["oneOf"], given)
    known: dict[str, Schema] = schema["properties"]
    hint = f"it takes {', '.join(known)}" if known else "it takes {}"
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"{whole} knows no {_shown(unknown[0])}", hint=hint)
    missing = [name for name in schema.get("required", ()) if name not in given]
    if missing:
        raise UsageError(f"{whole} needs {' and '.join(missing)}", hint=hint)
    return {name: _checked(f"{name} of {whole}", known[name], value) for name, value in given.items()}


def _alternative(whole: str, alternatives: list[Schema], given: dict[str, Any]) -> Schema:
    """Which of several objects is meant."""
    words: list[str] = []
    for schema in alternatives:
        for name, one in schema["properties"].items():
            if "const" in one:
                if given.get(name) == one["const"]:
                    return schema
                words.append(one["const"])
                said = name
    raise UsageError(f"{said} of {whole} is one of {', '.join(words)}, not {_shown(given.get(said))}")


def _checked(what: str, schema: Schema, value: Any) -> Any:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if choices is not None:
        if not any(type(value) is type(one) and value == one for one in choices):
            raise UsageError(f"{what} is one of {', '.join(map(str, choices))}, not {_shown(value)}")
        return value
    kind = schema["type"]
    if not _is(kind, value):
        is_bare = kind == "array" and isinstance(value, str) and len(value) < 200
        raise UsageError(
            f"{what} is {_KINDS[kind]}, not {_shown(value)}", hint=f'for example ["{value}"]' if is_bare else ""
        )
    if kind == "array":
        for one in value:
            _checked(f"each of {what}", schema["items"], one)
        _check_size(what, schema, "Items", "entries", len(value))
    elif kind == "string":
        _check_text(what, value)
        _check_size(what, schema, "Length", "characters", len(value))
    elif kind in ("integer", "number"):
        return _number(what, schema, value)
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


def _check_size(what: str, schema: Schema, unit: str, told: str, size: int) -> None:
    least, most = schema.get(f"min{unit}", 0), schema.get(f"max{unit}", math.inf)
    if not least <= size <= most:
        limits = f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise UsageError(f"{what} has {size} {told}; it has {limits}")


def _check_text(what: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        why = f"{what} has half a character in it, which no file or record can keep: {_shown(text)}"
        raise UsageError(why) from exc


def _number(what: str, schema: Schema, value: float) -> float:
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    if not (least <= value <= most and value > above):
        limits = f"above {above}" if above > -math.inf else f"at least {least}"
        raise UsageError(f"{what} is {limits} and at most {most}, not {_shown(value)}")
    return int(value) if schema["type"] == "integer" else value


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
