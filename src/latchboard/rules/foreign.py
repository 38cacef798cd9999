"""Foreign change: whose doing it was that a held file is not its image, as far as anybody can say; pure.

Law 1. What was found before a call is not that call's doing: then nobody is named.
Law 2. "Certain" is said only where the holder was in no call of its own and nobody else was in one: then the file
changed while one call was open, and that one alone. A person or a program without hooks may still have done it.
Law 3. What the holder may just be doing itself is told to nobody before its call has ended; it is remembered as seen.
What was changed during a call of the holder is its own, unless somebody else was in a call: then it is told, in doubt.
Law 4. A call that has been open for longer than any client lets one run has lost its end: it counts no more.

Record `calls/<agent>`: {"agent", "count", "since", "seen"}: the calls of one agent that are going on, and what was
found when the last of them began: name to fingerprint. `passing`, where there is one: names that are held for these
calls alone.
Record `conflicts/<id>`: see `check_conflict`.

Protocol: protocol/editing.md, "Foreign changes".
"""

from __future__ import annotations

from latchboard.rules import image as images
from latchboard.rules import lease as leases
from latchboard.rules.holding import is_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, NotRequired, TypedDict

    from latchboard.clock import Now
    from latchboard.rules.image import Image

    class Call(TypedDict):
        """The open calls of one agent."""

        agent: str
        count: int
        since: leases.Moment
        seen: dict[str, str]
        passing: NotRequired[list[str]]

    class ForeignFile(TypedDict):
        """One file: what its holder had, what was found, and the diff of the two, below the store's folder."""

        name: str
        path: str
        token: int
        before: Image | None
        after: Image | None
        diff: str

    class Conflict(TypedDict):
        """Files of one holder that were found changed at one time."""

        id: str
        kind: str
        holder: str
        by: str | None
        certain: bool
        also: list[str]
        found: leases.Moment
        files: list[ForeignFile]
        restored: NotRequired[list[dict[str, Any]]]


CALLS = "calls/"
CONFLICTS = "conflicts/"
LOST_S = 86400.0
"""After this long a record of calls that have lost their end is cleaned up: its agent's turn is over."""
COUNT_MAX = 100
"""So many calls of one agent are counted; a client that loses every end would count for ever."""


class Verdict:
    """Whose doing a change was.

    Attributes:
        by: The agent in whose call it happened; None: nobody can say.
        certain: Nobody else was in a call.
        also: Who else was: it may have been any of these as well.
        told: False: the holder may be at it just now; nothing is said yet.
    """

    __slots__ = ("also", "by", "certain", "told")

    def __init__(self, by: str | None, *, certain: bool, also: list[str], told: bool) -> None:
        self.by = by
        self.certain = certain
        self.also = also
        self.told = told


def judge(agent: str, holder: str, *, calls: Mapping[str, bool], is_after: bool, was_seen: bool = False) -> Verdict:
    """Whose doing it was that a file of `holder` is not its image.

    Args:
        agent: In whose call, or before whose call, it was found.
        holder: Whose file it is.
        calls: Agents with calls on record, `agent` perhaps among them: whether one may still go on.
        is_after: Found after the call; else before it.
        was_seen: The same content was there before the call.
    """
    others = sorted(one for one, is_open in calls.items() if is_open and one != agent)
    if not is_after or was_seen:
        # Its own record, however old, says of an agent that nobody saw the end of what it did itself.
        may_be_its_own = holder in (calls if holder == agent else others)
        return Verdict(None, certain=False, also=others, told=not may_be_its_own)
    if holder == agent:
        return Verdict(agent, certain=False, also=others, told=bool(others))
    return Verdict(agent, certain=not others and holder not in calls, also=others, told=True)


def fingerprint(image: Image | None) -> str:
    """Tells two contents apart, in a few words."""
    if image is None:
        return "none"
    return image["sha256"] or f"{image['kind']}:{image['size']}:{image['mtime_ns']}"


def opened(call: Call | None, agent: str, now: Now, seen: Mapping[str, str], passing: Iterable[str] = ()) -> Call:
    """The record of an agent's calls, with one more; what was seen before one is kept for those that go on.

    Args:
        call: The record as it is; None: none goes on.
        agent: Whose.
        now: When it begins.
        seen: What was found before it.
        passing: Names that are held from now on for the calls alone.
    """
    count = call["count"] if call else 0
    before = call["seen"] if call else {}
    value: Call = {
        "agent": agent,
        "count": min(count + 1, COUNT_MAX),
        "since": leases.moment(now),
        "seen": {**before, **seen},
    }
    return passed(value, {*(call.get("passing", ()) if call else ()), *passing})


def passed(call: Call, names: Iterable[str]) -> Call:
    """The record with these names, and no others, held for the calls alone."""
    value: Call = {**call, "passing": sorted(names)}
    if not value["passing"]:
        del value["passing"]
    return value


def closed(call: Call) -> Call | None:
    """The record with one call less; None: that was the last."""
    return {**call, "count": call["count"] - 1} if call["count"] > 1 else None


def is_open(call: Call, now: Now, call_s_max: float) -> bool:
    """Whether a call may still go on (law 4)."""
    return leases.age_s(call["since"], now) <= call_s_max


def check_call(value: Any) -> str:
    """What is wrong with a stored record of calls; empty: nothing."""
    if not isinstance(value, dict) or not is_word(value.get("agent")):
        return "agent is no word"
    if type(value.get("count")) is not int or value["count"] < 1 or not leases.check_moment(value.get("since")):
        return "count or since is wrong"
    seen = value.get("seen")
    if not isinstance(seen, dict) or not all(is_word(n) and type(f) is str for n, f in seen.items()):
        return "seen is no table of names"
    passing = value.get("passing", [])
    return "" if isinstance(passing, list) and all(is_word(one) for one in passing) else "passing is no list of names"


def check_conflict(value: Any) -> str:
    """What is wrong with a stored conflict; empty: nothing."""
    if not isinstance(value, dict):
        return "no object"
    if not all(is_word(value.get(field)) for field in ("id", "kind", "holder")):
        return "id, kind or holder is no word"
    if value.get("by") is not None and not is_word(value["by"]):
        return "by is no word"
    also, files = value.get("also"), value.get("files")
    if type(value.get("certain")) is not bool or not isinstance(also, list) or not all(is_word(one) for one in also):
        return "certain or also is wrong"
    if not leases.check_moment(value.get("found")):
        return "found is wrong"
    if not isinstance(files, list) or not files:
        return "files is no list of files"
    restored = value.get("restored", [])
    if not isinstance(restored, list) or not all(
        isinstance(one, dict) and "over" in one and not images.check_image(one["over"]) for one in restored
    ):
        return "restored is wrong"
    return next((wrong for one in files if (wrong := _check_file(one))), "")


def _check_file(value: Any) -> str:
    if not isinstance(value, dict) or not is_word(value.get("name")) or not is_word(value.get("path")):
        return "name or path of a file is no word"
    if type(value.get("token")) is not int or type(value.get("diff")) is not str:
        return "token or diff of a file is wrong"
    for side in ("before", "after"):
        if side not in value:
            return f"{side} is missing"
        if wrong := images.check_image(value[side]):
            return f"{side}: {wrong}"
    return ""


def kept_names(conflict: Conflict) -> set[str]:
    """The kept bytes that a conflict refers to: both sides, the diff beside them, and what was written over."""
    found = {one["over"]["sha256"] for one in conflict.get("restored", []) if one["over"] and one["over"]["kept"]}
    for one in conflict["files"]:
        found |= {side["sha256"] for side in (one["before"], one["after"]) if side and side["kept"]}
        if one["diff"]:
            found.add(one["diff"].rpartition("/")[2])
    return found


def is_over(conflict: Conflict, now: Now, ttl_s: float) -> bool:
    """Whether a conflict has been kept for long enough."""
    return leases.age_s(conflict["found"], now) > ttl_s


def described(before: Image | None, after: Image | None) -> str:
    """What happened to a file, for people: `changed`, `deleted`, `made`, `replaced by a folder`."""
    if after is None:
        return "deleted"
    if after["kind"] == "folder":
        return "replaced by a folder"
    if after["kind"] == "other":
        return "replaced by something that is no file"
    return "made" if before is None else "changed"
