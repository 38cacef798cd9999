"""Marked: a block of ours, or a line of ours, in a text that belongs to somebody else.

Law 1. A block stands between two marks, remarks on lines of their own, and is found by them alone; what is outside of
them is not touched.
Law 2. What was put in can be taken out: with the text from before at hand, and nothing changed since, to the last byte.

Protocol: protocol/installation.md, "Texts".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

BEGIN = "latchboard:begin"
END = "latchboard:end"
_SAID = f"{BEGIN} (written by `latchboard init`; `latchboard init --remove` takes it out)"


class Marks:
    """How a kind of file writes a remark."""

    __slots__ = ("after", "before")

    def __init__(self, before: str, after: str = "") -> None:
        self.before = before
        self.after = after

    def line(self, word: str) -> str:
        """A remark of one line."""
        return f"{self.before}{word}{self.after}"


MARKDOWN = Marks("<!-- ", " -->")
HASH = Marks("# ")
"""TOML and YAML."""


def merged(text: str, body: str, marks: Marks) -> str:
    """The text with one block, `body` (whole lines) between the marks: in place of the old one, else at the end.

    Raises:
        ValueError: There is half a block.
    """
    newline = _newline(text)
    block = "\n".join((marks.line(_SAID), body.rstrip("\n"), marks.line(END), "")).replace("\n", newline)
    found = _block(text)
    if found is not None:
        return text[: found[0]] + block + text[found[1] :]
    if not text:
        return block
    apart = newline if text.endswith("\n") else newline * 2
    return f"{text}{apart}{block}"


def unmerged(text: str, before: str | None = None) -> str:
    """The text without the block and the empty line that came with it.

    Args:
        text: As it is.
        before: What it was before the block was put in; None where that is not known.

    Raises:
        ValueError: There is half a block.
    """
    found = _block(text)
    if found is None:
        return text
    above, below = text[: found[0]], text[found[1] :]
    newline = _newline(text)
    blank = next((end for end in ("\r\n", "\n") if above.endswith(f"\n{end}")), "")
    above = above.removesuffix(blank)
    if not below and before is not None and above == before + newline:
        return before  # its last line had no end
    return above + below


def body_of(text: str) -> str | None:
    """What stands between the marks; None when there is no block.

    Raises:
        ValueError: There is half a block.
    """
    found = _block(text)
    return None if found is None else "".join(text[found[0] : found[1]].splitlines(keepends=True)[1:-1])


def merged_lines(text: str, lines: Sequence[str]) -> str:
    """The text with each of `lines` behind it that it does not have."""
    newline = _newline(text)
    there = {line.strip() for line in text.splitlines()}
    for line in lines:
        if line not in there:
            text = f"{text}{newline if text and not text.endswith(newline) else ''}{line}{newline}"
    return text


def unmerged_lines(text: str, before: str, lines: Sequence[str]) -> str:
    """The text without those of `lines` that were not in it before: the last one of each."""
    had = {line.strip() for line in before.splitlines()}
    kept = text.splitlines(keepends=True)
    for line in lines:
        places = [i for i, one in enumerate(kept) if one.strip() == line]
        if places and line not in had:
            del kept[places[-1]]
    found = "".join(kept)
    return before if found == before + _newline(text) else found


def merged_toml(text: str, path: Sequence[str], values: dict[str, Any]) -> str:
    """The text with a table of ours at `path`; what else somebody wrote into it stays.

    Raises:
        ValueError: It is no TOML, or somebody else's table has that name, or a table cannot be put behind it.
    """
    said = toml(text)
    block = body_of(text)
    if block is None and _at(said, path) is not None:
        raise ValueError(f"it has a table [{'.'.join(path)}] of its own")
    own = {} if block is None else _own_values(block, path, values)
    made = merged(text, _renewed(block, values) if block is not None and own else _table(path, values), HASH)
    try:
        is_right = toml(made) == _with(toml(unmerged(text)), path, {**own, **values})
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(f"[{'.'.join(path)}] cannot be put behind what it says")
    return made


def unmerged_toml(text: str, path: Sequence[str], before: str | None = None) -> str:
    """The text without our table.

    Raises:
        ValueError: It is no TOML, or something else would be lost or move with it.
    """
    if body_of(text) is None:
        return text
    said = toml(text)
    made = unmerged(text, before)
    if _without(toml(made), path) != _without(said, path) or _at(toml(made), path) is not None:
        raise ValueError(f"more than [{'.'.join(path)}] would change: lines of your own stand behind our block")
    return made


def merged_yaml(text: str, key: str, value: str) -> str:
    """The text of a mapping with `key: value` in a block of ours; as it is where it says so by itself.

    Raises:
        ValueError: It says something else about the key, or is written so that nothing can be put behind it.
    """
    own = unmerged(text)
    for line in own.splitlines():
        name, colon, said = line.partition(":")
        if colon and name.strip("'\"") == key:
            if said.partition("#")[0].strip().lower() == value:
                return own
            raise ValueError(f"it says {line.strip()!r:.80}")
        if line.startswith(("{", "[", "---", "...", "- ")):
            raise ValueError("it is no plain list of `key: value`")
    return merged(text, f"{key}: {value}\n", HASH)


def toml(text: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        ValueError: It is none.
    """
    import tomllib

    return tomllib.loads(text.replace("\r\n", "\n"))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _block(text: str) -> tuple[int, int] | None:
    """Where the block begins, and where its last line has ended."""
    begins, ends = list(_marks(text, BEGIN)), list(_marks(text, END))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        raise ValueError(f"it has half a block of ours: look for {BEGIN} and {END}")
    return begins[0][0], ends[0][1]


def _marks(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Where each line that is this mark begins and ends. A text may speak of the marks: only a remark is one."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end].strip("\ufeff \t\r\n")
        if line.startswith("<!--") and line.endswith("-->"):
            line = line[4:-3].strip()
        elif line.startswith("#"):
            line = line[1:].strip()
        else:
            line = ""
        if line == word or line.startswith(f"{word} ("):
            yield start, end
        start = end


def _table(path: Sequence[str], values: dict[str, Any]) -> str:
    return "\n".join((f"[{'.'.join(path)}]", *(f"{key} = {_written(value)}" for key, value in values.items())))


def _own_values(block: str, path: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    """What somebody added to our table."""
    table = _at(toml(block), path)
    return {key: value for key, value in table.items() if key not in values} if isinstance(table, dict) else {}


def _renewed(block: str, values: dict[str, Any]) -> str:
    """Our table with these values, and with every other line as it is."""
    lines = block.splitlines()
    keys = [line.partition("=")[0].strip() for line in lines]
    return "\n".join(
        f"{key} = {_written(values[key])}" if key in values else line for line, key in zip(lines, keys, strict=True)
    )


def _written(value: Any) -> str:
    """A string or an array of strings: as JSON writes it, but for DEL, which TOML wants escaped."""
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _with(said: dict[str, Any], path: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    first, *rest = path
    inner = said.get(first, {})
    return {**said, first: _with(inner, rest, values) if rest else values}


def _without(said: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """`said` without the table, and without those around it that are empty now."""
    first, *rest = path
    made = {key: value for key, value in said.items() if key != first}
    if rest and (inner := _without(said.get(first, {}), rest)):
        made[first] = inner
    return made
