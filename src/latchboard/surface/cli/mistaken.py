"""Mistaken: what was probably meant by a command line that begins with no verb."""

from __future__ import annotations

from latchboard.surface.cli import catalogue, wording
from latchboard.surface.cli.grammar import COMMON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_IS_FLAG = {option.spelling: option.is_flag for option in COMMON}


def explain(words: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong, and what to type instead; None when there is nothing better to say than click does.

    Args:
        words: Of which click did not make a verb.
    """
    group = list(words[:1]) if words and words[0] in catalogue.GROUPS else []
    moved, rest = _common_first(words[len(group) :])
    name, own = catalogue.split([*group, *rest])
    if moved:
        spelling = moved[0].partition("=")[0]
        shown = wording.command(*(name or "VERB").split(), *moved, *(own if name else []))
        return f"{spelling} before the verb is not understood", f"put it behind the verb: latchboard {shown}"
    if name:
        return _told_of(name, own)
    if not rest or rest[0].startswith("-"):
        return None
    typed = " ".join([*group, rest[0]])
    nearest = _nearest(typed)
    if not nearest:
        return None
    return f"there is no verb {typed!r}", f"`latchboard {nearest}` is nearest; `latchboard --help` lists all of them"


def _told_of(name: str, own: Sequence[str]) -> tuple[str, str] | None:
    """A verb with a word behind it that is one of another verb: `serve start`."""
    meant = f"daemon {own[0]}" if name == "serve" and own else ""
    if meant not in catalogue.VERBS:
        return None
    return f"serve runs the daemon in the foreground, and does not know {own[0]!r}", f"`latchboard {meant}` is meant"


def _common_first(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The common options, with their values, that the words begin with; and the rest."""
    at = 0
    while at < len(words):
        spelling, has_value, _ = words[at].partition("=")
        is_flag = _IS_FLAG.get(spelling)
        if is_flag is None:
            break
        at += 1 if is_flag or has_value else 2
    return list(words[:at]), list(words[at:])


def _nearest(typed: str) -> str:
    """The verb whose name, or else whose second word, is most like what was typed; "" where none is."""
    import difflib

    second = {name.rpartition(" ")[2]: name for name in catalogue.VERBS}
    if typed in second:
        return second[typed]
    if found := difflib.get_close_matches(typed, [*catalogue.VERBS, *catalogue.GROUPS], n=1):
        return found[0]
    found = difflib.get_close_matches(typed, second, n=1)
    return second[found[0]] if found else ""
