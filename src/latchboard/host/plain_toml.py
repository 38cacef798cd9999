"""Plain TOML: the part of it that settings are mostly written in, read without `tomllib`, which costs 10 ms to load.

    # comment
    lease_ttl_s = 7200
    hooks_release = "session"
    singleton_types = ["code_developer", "reviewer"]

Law. What is read here means the same to `tomllib`. Everything else (tables, escapes, dates, a name given twice, what is
no TOML at all) is not read here but left to it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_WORDS = {"true": True, "false": False}
_BLANKS = " \t"


def read(text: str) -> dict[str, Any] | None:
    """What a file says; None: `tomllib` must read it."""
    if "\r" in text:
        return None
    found: dict[str, Any] = {}
    for line in [one.strip(_BLANKS) for one in text.split("\n")]:
        if not line.replace("\t", "").isprintable():
            return None
        if not line or line[0] == "#":
            continue
        key, equals, rest = line.partition("=")
        key = key.rstrip(_BLANKS)
        value = _value(rest.lstrip(_BLANKS)) if equals and key and _KEY.issuperset(key) and key not in found else None
        if value is None:
            return None
        found[key] = value
    return found


def _value(text: str) -> Any:
    """One value with nothing but a comment behind it; None where it is none of the plain ones."""
    if text[:1] == '"':
        string, rest = _string(text)
        return string if _is_over(rest) else None
    if text[:1] == "[":
        return _strings(text[1:])
    word = text.partition("#")[0].rstrip(_BLANKS)
    return _WORDS[word] if word in _WORDS else _number(word)


def _number(word: str) -> int | float | None:
    whole, dot, part = word.removeprefix("-").partition(".")
    is_digits = whole.isascii() and whole.isdecimal() and len(whole) < 16 and (whole == "0" or whole[0] != "0")
    if not is_digits or (dot and not (part.isascii() and part.isdecimal() and len(part) < 16)):
        return None
    return float(word) if dot else int(word)


def _string(text: str) -> tuple[str | None, str]:
    """A string at the beginning, and what is behind it."""
    end = text.find('"', 1)
    string = text[1:end]
    if end < 0 or "\\" in string or text.startswith('"""'):
        return None, ""
    return string, text[end + 1 :]


def _strings(text: str) -> list[str] | None:
    """What is in a list of strings, on one line, of which the bracket is read."""
    found: list[str] = []
    rest = text.lstrip(_BLANKS)
    while not rest.startswith("]"):
        if rest[:1] != '"':
            return None
        string, rest = _string(rest)
        if string is None:
            return None
        found.append(string)
        rest = rest.lstrip(_BLANKS)
        if rest.startswith(","):
            rest = rest[1:].lstrip(_BLANKS)
        elif not rest.startswith("]"):
            return None
    return found if _is_over(rest[1:]) else None


def _is_over(rest: str) -> bool:
    """Whether nothing but a comment is left of a line."""
    rest = rest.lstrip(_BLANKS)
    return not rest or rest[0] == "#"
