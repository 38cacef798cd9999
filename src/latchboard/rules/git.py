"""Git: whose hold a commit meets, what git's own lines mean, when a commit past a hold is settled; pure.

Law 1. A path is bytes, and ends at a NUL alone: no name of a file can be mistaken for two, or for none.
Law 2. What an agent and its subagents (`<id>:...`) hold is the agent's own: in a shell, nothing tells which of them
runs. Everything else is another's, shared holds too, for a commit writes.
Law 3. A commit that was found as a bypass is settled when each hold that it passed by is over; never before.

Protocol: protocol/git.md.
"""

from __future__ import annotations

from latchboard.rules.holding import is_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypedDict

    class Passed(TypedDict):
        """One hold that a commit passed by."""

        name: str
        agent: str
        token: int

    class Bypass(TypedDict):
        """Record `bypasses/<commit>`."""

        commit: str
        by: str
        at: str
        passed: list[Passed]


BYPASSES = "bypasses/"
_HEX = frozenset("0123456789abcdef")


def paths(listing: bytes) -> list[bytes]:
    """The paths of a listing that ends each with NUL (`git diff --name-only -z`), each once, in its order.

    Raises:
        ValueError: The end is missing: it is not whole.
    """
    if listing and not listing.endswith(b"\0"):
        raise ValueError("the list of files is cut off")
    return list(dict.fromkeys(path for path in listing.split(b"\0") if path))


def is_own(holder: str, agent: str) -> bool:
    """Whether a hold of `holder` is not in the way of `agent`: its own, or of one of its subagents."""
    return bool(agent) and (holder == agent or holder.startswith(f"{agent}:"))


def is_commit(text: str) -> bool:
    """Whether `text` is the full id of an object, and not the one that means none."""
    return len(text) in (40, 64) and _HEX.issuperset(text) and set(text) != {"0"}


def moved(line: bytes) -> tuple[str, str] | None:
    """From which commit to which a line of a reflog leads ("" for none); None where it is no such line."""
    words = line.split(b" ", 2)
    if len(words) < 3:
        return None
    old, new = (word.decode("ascii", "replace") for word in words[:2])
    if not is_commit(new) or not _HEX.issuperset(old):
        return None
    return (old if is_commit(old) else ""), new


def pushed(lines: bytes) -> list[tuple[str, str]]:
    """What a push sends: the commit here and the one that is there already ("" for none), per ref.

    From `<local ref> <local id> <remote ref> <remote id>` in each line; a ref that is deleted sends nothing, and a line
    of another shape says nothing.
    """
    found = []
    for line in lines.splitlines():
        words = line.decode("utf-8", "replace").rsplit(" ", 3)  # a local ref may be an expression with blanks in it
        if len(words) == 4 and is_commit(words[1]):
            found.append((words[1], words[3] if is_commit(words[3]) else ""))
    return found


def rewritten(lines: bytes) -> list[tuple[str, str]]:
    """Which commit became which, from `<old> <new>` in each line, whatever follows."""
    pairs = (line.decode("utf-8", "replace").split(" ")[:2] for line in lines.splitlines())
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and is_commit(pair[0]) and is_commit(pair[1])]


def check_bypass(value: Any) -> str:
    """What is wrong with a stored bypass; empty: nothing."""
    if not isinstance(value, dict) or not isinstance(value.get("by"), str) or not isinstance(value.get("at"), str):
        return "by or at is no text"
    if not isinstance(value.get("commit"), str) or not is_commit(value["commit"]):
        return "commit is no id"
    passed = value.get("passed")
    if not isinstance(passed, list) or not passed:
        return "passed is no list of holds"
    for one in passed:
        if not isinstance(one, dict) or not is_word(one.get("name")) or not is_word(one.get("agent")):
            return "a hold in passed has no name or agent"
        if type(one.get("token")) is not int:
            return "a hold in passed has no token"
    return ""


def unsettled(bypass: Bypass, live: Iterable[tuple[str, int]], agent: str = "") -> Sequence[Passed]:
    """The holds that a commit passed by and that still last, but for `agent`'s own.

    Args:
        bypass: The record.
        live: Name and token of each hold that lasts, of those it names at least.
        agent: Who asks.
    """
    lasting = set(live)
    passed = [one for one in bypass["passed"] if (one["name"], one["token"]) in lasting]
    return [one for one in passed if not is_own(one["agent"], agent)]
