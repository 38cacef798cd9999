"""Arguments: what a client gave a tool, held to the tool's schema before anything is done.

Understands the part of JSON Schema that catalogue.py uses; the words are for a model, which must be able to do better
at the next try.

Protocol: protocol/mcp.md, "Tools".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list of texts",
}
_SHOWN_CHARS = 60


def check(tool: str, schema: dict[str, Any], given: object) -> dict[str, Any]:
    """The arguments, if they are what the schema of an object says; a null is an argument that was left out.

    Raises:
        UsageError: They are not; says which one, and what it should be.
    """
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise UsageError(f"the arguments of {tool} are an object, not {_shown(given)}")
    known: dict[str, Any] = schema["properties"]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UsageError(f"{tool} knows no argument {_shown(unknown[0])}", hint=f"it takes {', '.join(known)}")
    found = {name: value for name, value in given.items() if value is not None}
    missing = [name for name in schema.get("required", ()) if name not in found]
    if missing:
        raise UsageError(f"{tool} needs {' and '.join(missing)}", hint=f"it takes {', '.join(known)}")
    for name, value in found.items():
        _check_one(f"{name} of {tool}", known[name], value)
    return found


def _check_one(what: str, schema: dict[str, Any], value: object) -> None:
    choices = schema.get("enum")
    if choices is not None:
        if value not in choices:
            raise UsageError(f"{what} is one of {', '.join(choices)}, not {_shown(value)}")
        return
    kind = schema["type"]
    if not _is(kind, value):
        hint = f'for example ["{value}"]' if kind == "array" and isinstance(value, str) and len(value) < 200 else ""
        raise UsageError(f"{what} is {_KINDS[kind]}, not {_shown(value)}", hint=hint)
    texts: list[Any] = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{what} is {_KINDS[kind]}, and has {_shown(text)} in it")
        if not _is_unicode(text):
            raise UsageError(f"{what} has half a character in it, which no file or record can keep: {_shown(text)}")


def _is(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "number":
        return isinstance(value, int | float)
    return isinstance(value, str if kind == "string" else list)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
