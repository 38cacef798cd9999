"""JSON text: one place of a document changed, every other character of it left as it is.

A configuration belongs to the person who wrote it: their order, their indentation, how they write a number or a letter.
So a change is an insertion into the text or a cut out of it, found by the parser's own positions, and never a document
printed anew.

A path is a sequence of keys and of positions in arrays. Comments, trailing commas, NaN and keys that an object has
twice are refused: two readers could disagree about what such a document says.

Protocol: protocol/installation.md, "JSON".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Step = str | int
    Path = Sequence[Step]

_BLANK = " \t\n\r"
_UNIT = "  "


def parsed(text: str) -> dict[str, Any]:
    """The object that `text` is; a text of nothing but blanks is an empty one.

    Raises:
        ValueError: It is no JSON, no object, or two readers could read it differently.
    """
    import json

    if not text.strip(_BLANK):
        return {}
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def at(value: Any, path: Path) -> Any:
    """What stands at `path` in a parsed document; None when there is nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def put(text: str, path: Path, value: Any) -> str:
    """The text with `value` at `path`, a sequence of keys; objects that are missing on the way are made."""
    if not text.strip(_BLANK):
        return _rendered(_nested(path, value), _Style(text), 0) + "\n"
    for depth in range(len(path)):
        start, _ = _span(text, path[:depth])
        if not any(entry[0] == path[depth] for entry in _entries(text, start)):
            return _inserted(text, path[:depth], path[depth], _nested(path[depth + 1 :], value))
    start, end = _span(text, path)
    return text[:start] + _rendered(value, _Style(text), len(path)) + text[end:]


def append(text: str, path: Path, value: Any) -> str:
    """The text with `value` as the last of the array at `path`."""
    return _inserted(text, path, None, value)


def delete(text: str, path: Path) -> str:
    """The text without the member or item at `path`, its comma, and the blanks that set it apart."""
    start, end = _span(text, path[:-1])
    entries = _entries(text, start)
    index = next(i for i, entry in enumerate(entries) if entry[0] == path[-1])
    if index:
        return text[: entries[index - 1][2]] + text[entries[index][2] :]
    if len(entries) > 1:
        return text[: entries[0][1]] + text[entries[1][1] :]
    return text[: start + 1] + text[end - 1 :]


class _Style:
    """How a document is written, where something is put into it.

    Attributes:
        unit: One step of indentation; "" where all of it stands on one line.
        newline: How its lines end.
    """

    def __init__(self, text: str) -> None:
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.unit = _UNIT
        root = _skipped(text, 0)
        entries = _entries(text, root) if root < len(text) else []
        if entries:
            blanks = text[root + 1 : entries[0][1]]
            self.unit = (blanks.rpartition("\n")[2] or _UNIT) if "\n" in blanks else ""

    def margin(self, depth: int) -> str:
        return f"{self.newline}{self.unit * depth}" if self.unit else ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r:.80} twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _nested(path: Path, value: Any) -> Any:
    for step in reversed(path):
        value = {step: value}
    return value


def _skipped(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _entries(text: str, start: int) -> list[tuple[Step, int, int]]:
    """(key or position, start of the entry, end of its value) of the object or array that begins at `start`."""
    import json

    decoder = json.JSONDecoder()
    is_object = text[start] == "{"
    found: list[tuple[Step, int, int]] = []
    position = _skipped(text, start + 1)
    while text[position] not in "]}":
        begins = position
        step: Step = len(found)
        if is_object:
            step, position = decoder.raw_decode(text, position)
            position = _skipped(text, _skipped(text, position) + 1)
        _, position = decoder.raw_decode(text, position)
        found.append((step, begins, position))
        position = _skipped(text, position)
        if text[position] == ",":
            position = _skipped(text, position + 1)
    return found


def _span(text: str, path: Path) -> tuple[int, int]:
    """Where the value at `path`, which is there, begins and ends."""
    import json

    decoder = json.JSONDecoder()
    start = _skipped(text, 0)
    for step in path:
        begins = next(entry[1] for entry in _entries(text, start) if entry[0] == step)
        if text[start] == "{":
            _, begins = decoder.raw_decode(text, begins)
            begins = _skipped(text, _skipped(text, begins) + 1)
        start = begins
    return start, decoder.raw_decode(text, start)[1]


def _inserted(text: str, path: Path, key: Step | None, value: Any) -> str:
    """The text with one entry more at the end of the object or array at `path`."""
    start, end = _span(text, path)
    entries = _entries(text, start)
    style = _Style(text)
    depth = len(path) + 1
    if not entries:
        entry = _entry(key, value, style, depth)
        return f"{text[: start + 1]}{style.margin(depth)}{entry}{style.margin(depth - 1)}{text[end - 1 :]}"
    last, ends = entries[-1][1], entries[-1][2]
    before = text[:last]
    blanks = before[len(before.rstrip(_BLANK)) :]
    if "\n" not in blanks:  # they stand on one line, and so does what comes to them
        style.unit = ""
        blanks = blanks or (" " if ": " in text else "")
    return f"{text[:ends]},{blanks}{_entry(key, value, style, depth)}{text[ends:]}"


def _entry(key: Step | None, value: Any, style: _Style, depth: int) -> str:
    import json

    written = _rendered(value, style, depth)
    return written if key is None else f"{json.dumps(key, ensure_ascii=False)}: {written}"


def _rendered(value: Any, style: _Style, depth: int) -> str:
    """`value` as it is written at this depth; an empty style writes it on one line."""
    import json

    if not style.unit:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=style.unit).split("\n")
    return style.margin(depth).join(lines)
