"""Wildcard: a glob read into segments, and whether a path can be inside it and inside another name too.

Law 1. A glob means what the same line in a `.gitignore` at the root means to git: `*` and `?` stop at a slash; `**` as
a whole segment spans any number of segments; a glob without a slash, or with one at its end only, matches at any depth;
what matches a folder holds everything beneath it. There are no comments, and a leading `!` is refused.
Law 2. Where it differs it holds more: `build/` holds a file `build` too, as the folder `src/` holds the name `src`; a
class with `[:alpha:]` in it is any character; a malformed glob holds everything. Only `?` and classes, which take one
code point here, take one byte in git.

Guarantees an exact answer, by those two laws, between a glob and a file or folder; between two globs too, unless all
that two classes share is the slash. When the work passes `WALK_STEPS_MAX` the answer is True.

Protocol: protocol/lock.md, "Overlap". Globs are read as git's wildmatch.c reads them; the walk over two automata at
once is bit-parallel, as in Navarro and Raffinot, Flexible Pattern Matching in Strings (2002).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    Ranges = tuple[tuple[int, int], ...]  # code points, both ends included
    Token = str | Ranges | None  # one character, one of several, or `*`
    Segment: TypeAlias = "str | _Wild | None"  # a literal, one with something special in it, or `**`
    Shape = tuple[str, Sequence[Segment]]  # what every path inside starts with; all of it, a last None for "beneath"

PATTERN_BYTES_MAX = 4096
"""Longest glob, bytes of UTF-8: as long as the longest path Linux takes (PATH_MAX)."""

WALK_STEPS_MAX = 50_000
"""Work on one pair of names, in steps of about half a microsecond; globs that people write take fewer than 200."""

_SHAPES_COUNT_MAX = 256  # globs kept parsed; few are locked at once, so a full memory is simply emptied
_ANY: Ranges = ((0, 46), (48, 0x10FFFF))  # every character but the slash
_shapes: dict[str, Shape | None] = {}


def canonical(pattern: str) -> str:
    """The shortest spelling of a pattern; ValueError, with the end of a sentence, when there is none."""
    bare = pattern.rstrip(" ")
    if len(bare) < len(pattern) and (len(bare) - len(bare.rstrip("\\"))) % 2:
        bare += " "
    at_root, segments, is_folder = _split(bare)
    slash_before = "/" if at_root and len(segments) == 1 else ""
    short = slash_before + "/".join(segments) + ("/" if is_folder else "")
    _parse(short)
    return short


def meets(glob: str, other: str) -> bool:
    """Whether a path can be inside the name `glob` and inside `other`, a file, folder or glob; when in doubt, True."""
    left = _shape(glob)
    right = _shape(other) if other.startswith("glob:") else _literal(other)
    if left is None or right is None:
        return True
    if not (right[0].startswith(left[0]) or left[0].startswith(right[0])):
        return False
    try:
        return _meet(left[1], right[1], _segments_meet, [WALK_STEPS_MAX])
    except _WorkSpent:
        return True


def _literal(name: str) -> Shape | None:
    """The shape of a file or folder; None for the folder `/`, which holds the root wherever it is."""
    if name.startswith("/"):
        return (name, ()) if name != "/" else None  # a glob never leaves the root: no segments, no path in common
    if name == "./":
        return "", (None,)
    path = name.removeprefix("./")
    if path.endswith("/"):
        return path[:-1], (*path[:-1].split("/"), None)
    return path, path.split("/")


def _shape(glob: str) -> Shape | None:
    """The shape of a glob, remembered; None when it is malformed."""
    try:
        return _shapes[glob]
    except KeyError:
        pass
    try:
        shape = _parse(glob[5:])
    except ValueError:
        shape = None
    if len(_shapes) >= _SHAPES_COUNT_MAX:
        _shapes.clear()
    _shapes[glob] = shape
    return shape


class _WorkSpent(Exception):
    """The walk took `WALK_STEPS_MAX` steps without an answer."""


def _meet(
    left: Sequence[Any], right: Sequence[Any], same: Callable[[Any, Any, list[int]], bool], steps: list[int]
) -> bool:
    """Whether one sequence is matched by both patterns; in each, None stands for any number of items.

    Bit j of `reach` says that something matches both what was walked of `left` and the first j items of `right`: a row
    of the product of the two automata is one integer, and nothing is walked twice.
    """
    width = len(right)
    steps[0] -= width
    if steps[0] < 0:
        raise _WorkSpent
    stars = 0
    masks: dict[Any, int] = {}
    for j, item in enumerate(right):
        if item is None:
            stars |= 1 << j
        else:
            masks[item] = masks.get(item, 0) | 1 << j
    weight = 1 + width // 512 + len(masks)
    reach = 1 | (stars & 1) << 1
    for item in left:
        steps[0] -= weight
        if steps[0] < 0:
            raise _WorkSpent
        if item is None:
            reach = (2 << width) - (reach & -reach)
            continue
        after = reach & stars
        for other, mask in masks.items():
            met = mask & reach
            if met and same(item, other, steps):
                after |= met << 1
        if not after:
            return False
        reach = after | (after & stars) << 1
    return reach >> width == 1


def _segments_meet(a: str | _Wild, b: str | _Wild, steps: list[int]) -> bool:
    if isinstance(a, str):
        if isinstance(b, str):
            return a == b
        a, b = b, a
    if isinstance(b, str):
        if not (b.startswith(a.head) and b.endswith(a.tail) and len(b) >= len(a.head) + len(a.tail)):
            return False
        return a.is_plain or _meet(a.tokens, b, _tokens_meet, steps)
    if not (a.head.startswith(b.head) or b.head.startswith(a.head)):
        return False
    if not (a.tail.endswith(b.tail) or b.tail.endswith(a.tail)):
        return False
    return (a.is_plain and b.is_plain) or _meet(a.tokens, b.tokens, _tokens_meet, steps)


def _tokens_meet(a: str | Ranges, b: str | Ranges, steps: list[int]) -> bool:
    if isinstance(a, str):
        if isinstance(b, str):
            return a == b
        a, b = b, a
    if isinstance(b, str):
        b = ((ord(b), ord(b)),)
    steps[0] -= len(a) * len(b)
    if steps[0] < 0:
        raise _WorkSpent
    return any(low <= end and start <= high for low, high in a for start, end in b)


class _Wild:
    """One segment of a glob with something special in it.

    Attributes:
        tokens: All of it, never two stars in a row.
        head: The characters before the first token that is special.
        tail: The characters after the last one.
        is_plain: Whether a single star stands between the two, and nothing else.
    """

    __slots__ = ("head", "is_plain", "tail", "tokens")

    def __init__(self, tokens: list[Token]) -> None:
        special = [i for i, token in enumerate(tokens) if not isinstance(token, str)]
        self.tokens = tokens
        self.head = "".join(map(str, tokens[: special[0]]))
        self.tail = "".join(map(str, tokens[special[-1] + 1 :]))
        self.is_plain = len(special) == 1 and tokens[special[0]] is None


def _split(pattern: str) -> tuple[bool, list[str], bool]:
    """Whether it holds at the root only, its segments without empty ones and `.`, whether it ends with a slash."""
    parts = pattern.split("/")
    is_folder = parts[-1] in ("", ".")
    while parts and parts[-1] in ("", "."):
        parts.pop()
    return len(parts) > 1, [part for part in parts if part not in ("", ".")], is_folder


def _parse(pattern: str) -> Shape:
    """The shape of a pattern; ValueError, with the end of a sentence, when it is malformed."""
    if len(pattern) > PATTERN_BYTES_MAX or len(pattern.encode("utf-8", "surrogatepass")) > PATTERN_BYTES_MAX:
        raise ValueError(f"is longer than {PATTERN_BYTES_MAX} bytes")
    at_root, parts, _ = _split(pattern)
    if not parts:
        raise ValueError("is empty")
    if "\0" in pattern:
        raise ValueError("holds a NUL character")
    if pattern.startswith("!"):
        raise ValueError("starts with `!`: there is no lock on everything but something")
    segments: list[Segment] = [] if at_root else [None]
    for i, part in enumerate(parts):
        stem = part.rstrip("*")
        if len(part) - len(stem) < 2 or (stem and i == len(parts) - 1) or stem.endswith("\\"):
            segments.append(_segment(part))
        elif stem:  # git itself lets `a**/b` match `ab` and `a/x/b`, which it documents otherwise
            raise ValueError(f"has a segment `{part}`: write `{stem}*` for one folder, `{stem}/**` for any depth")
        elif segments[-1:] != [None]:
            segments.append(None)
    if segments[-1] is None:
        segments.append(_segment("*"))  # `x/**` is what is inside x, not x itself
    head = ""
    for segment in segments:
        if not isinstance(segment, str):
            head += segment.head if segment else ""
            break
        head += segment + "/"
    else:
        head = head[:-1]
    return head, (*segments, None)


def _segment(text: str) -> str | _Wild:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            if tokens[-1:] != [None]:
                tokens.append(None)
        elif char == "?":
            tokens.append(_ANY)
        elif char == "[":
            token, at = _class(text, at)
            tokens.append(token)
        elif char == "\\":
            if at == len(text):
                raise ValueError("has a backslash with nothing behind it")
            tokens.append(text[at])
            at += 1
        else:
            tokens.append(char)
    literal = "".join(token for token in tokens if isinstance(token, str))
    if len(literal) < len(tokens):
        return _Wild(tokens)
    if literal in (".", ".."):
        raise ValueError(f"has a segment `{literal}`")
    return literal


def _class(text: str, at: int) -> tuple[str | Ranges, int]:
    """The token of the class whose `[` is before `at`, and where it ends; read as git's wildmatch.c reads it."""
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    start, previous, is_any = at, "", False
    ranges: list[tuple[int, int]] = []
    while text[at : at + 1] != "]" or at == start:
        end = text.find("]", at + 2) if text.startswith("[:", at) else -1
        if end > at + 2 and text[end - 1] == ":":
            is_any, previous, at = True, "", end + 1
            continue
        is_range = previous != "" and text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]")
        at += is_range
        at += text[at : at + 1] == "\\"
        if at >= len(text):
            raise ValueError("has a `[` without its `]`")
        low, high = ord(previous if is_range else text[at]), ord(text[at])
        if high < low:
            raise ValueError(f"has a range that ends before it starts: {previous}-{text[at]}")
        ranges.append((low, high))
        previous = "" if is_range else text[at]
        at += 1
    if is_any:
        return _ANY, at + 1
    if negated:
        return _others(ranges), at + 1
    return (text[at - 1] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else tuple(ranges)), at + 1


def _others(ranges: list[tuple[int, int]]) -> Ranges:
    """Every character that is in none of `ranges`, and is no slash."""
    others: list[tuple[int, int]] = []
    low = 0
    for start, end in sorted([*ranges, (47, 47)]):
        if low < start:
            others.append((low, start - 1))
        low = max(low, end + 1)
    return (*others, (low, 0x10FFFF)) if low <= 0x10FFFF else tuple(others)
