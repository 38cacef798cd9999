"""Telling: what a foreign change leaves on the board and in mailboxes, built as plain records.

Protocol: protocol/editing.md, "Foreign changes".
"""

from __future__ import annotations

from itertools import count

from latchboard.locks import notices
from latchboard.locks.hold import holder_tag
from latchboard.rules import foreign as rules
from latchboard.rules import image as image_rules
from latchboard.rules import lease as leases

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.editing.images import Changed
    from latchboard.locks.table import Table
    from latchboard.rules.foreign import Conflict, ForeignFile, Verdict

KIND = "foreign-change"

_NAMED_COUNT_MAX = 5
_found = count(1)  # of this process: two conflicts never have one id


def compose(table: Table, holder: str, changed: list[Changed], verdict: Verdict, diffs: dict[str, str]) -> Conflict:
    """The record of a conflict."""
    files: list[ForeignFile] = [
        {
            "name": one.name,
            "path": image_rules.path_of(one.record),
            "token": one.record["token"],
            "before": one.record["file"],
            "after": one.now,
            "diff": diffs.get(one.name, ""),
        }
        for one in changed
    ]
    made_by = holder_tag("", "process", table.me)
    return {
        "id": f"{max(0, int(table.now.wall_s * 1e6)):017d}-{made_by}-{next(_found)}",
        "kind": KIND,
        "holder": holder,
        "by": verdict.by,
        "certain": verdict.certain,
        "also": verdict.also,
        "found": leases.moment(table.now),
        "files": files,
    }


def log(table: Table, conflict: Conflict) -> None:
    """Put the conflict, its trace and the messages to both sides."""
    table.view.put(rules.CONFLICTS + conflict["id"], conflict)  # type: ignore[arg-type]  # a TypedDict is a dict
    table.view.put("log/conflict", _trace(conflict))
    _mail(table, conflict, "h", conflict["holder"], _to_holder(conflict))
    if conflict["by"] is not None and conflict["by"] != conflict["holder"]:
        _mail(table, conflict, "b", conflict["by"], _to_doer(conflict))


def _trace(conflict: Conflict) -> dict[str, object]:
    return {
        "kind": KIND,
        "names": [one["name"] for one in conflict["files"]],
        "asked_by": conflict["by"] or "",
        "held_by": [
            {"agent": conflict["holder"], "name": one["name"], "token": one["token"]} for one in conflict["files"]
        ],
        "reason": f"{_what(conflict)}; latchboard conflict show {conflict['id']}",
        "at": conflict["found"]["at"],
        "id": conflict["id"],
        "certain": conflict["certain"],
        "also": conflict["also"],
        "diffs": [one["diff"] for one in conflict["files"]],
    }


def _what(conflict: Conflict) -> str:
    """`changed`, or whatever happened to the files, each word once."""
    return ", ".join(dict.fromkeys(rules.described(one["before"], one["after"]) for one in conflict["files"]))


def _names(conflict: Conflict) -> str:
    names = [one["name"] for one in conflict["files"]]
    more = len(names) - _NAMED_COUNT_MAX
    return ", ".join(names[:_NAMED_COUNT_MAX]) + (f" and {more} more" if more > 0 else "")


def _doubt(conflict: Conflict, reader: str) -> str:
    """What else it may have been, said to one of the two."""
    if conflict["certain"] or conflict["by"] is None:
        return ""
    who = ["you" if one == reader else one for one in conflict["also"]]
    also = f" {_listed(who)} {'was' if len(who) == 1 and who != ['you'] else 'were'} in a call too:" if who else ""
    return f" This is not certain:{also} it may have been {'either' if len(who) == 1 else 'any'} of these calls."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _to_holder(conflict: Conflict) -> str:
    holder, by, its_id = conflict["holder"], conflict["by"], conflict["id"]
    who = "by somebody unknown, not by a call of yours"
    if by is not None:
        who = "during a shell call of yours" if by == holder else f"during a shell call of {by}"
    had = [one["before"] for one in conflict["files"] if one["before"] is not None]
    kept = [one for one in had if one["kept"]]
    said = f"You hold {_names(conflict)}; it was {_what(conflict)} {who}.{_doubt(conflict, holder)}"
    if kept:
        some = "" if len(kept) == len(had) else f" of {len(kept)} of {len(had)} files; the others are too large"
        said += f" Your bytes are kept{some}. Put them back: `latchboard conflict restore {its_id} --agent {holder}`."
    elif had:
        said += " Your bytes are not kept: the file is too large, or it was none."
    return f"{said} See what changed: `latchboard conflict show {its_id}`. Read it again before you go on."


def _to_doer(conflict: Conflict) -> str:
    by, holder, its_id = conflict["by"] or "", conflict["holder"], conflict["id"]
    return (
        f"{holder} holds {_names(conflict)}; during your shell call it was {_what(conflict)}.{_doubt(conflict, by)} "
        f"Both contents are kept, and {holder} has been told. See what changed: `latchboard conflict show {its_id}`. "
        f"Leave it to {holder}; to give its bytes back, when {holder} has let go: "
        f"`latchboard conflict restore {its_id} --agent {by}`."
    )


def _mail(table: Table, conflict: Conflict, side: str, to: str, body: str) -> None:
    message_id = f"{conflict['id']}-{side}"
    thread = conflict["id"]
    notices.tell(table, message_id, sender=notices.SENDER, to=to, body=body, urgency="high", thread=thread)
