"""conflict: held files that somebody else changed: what there is, what changed, and the holder's bytes put back.

Protocol: protocol/cli.md, "conflict".
"""

from __future__ import annotations

from latchboard.rules.foreign import described
from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable, printable_block
from latchboard.surface.cli.grammar import Verb, argument, flag
from latchboard.surface.cli.table import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.rules.foreign import Conflict
    from latchboard.rules.image import Image
    from latchboard.surface.cli.call import Call

_LINES_SHOWN_MAX = 200


def list_(call: Call) -> Answer:
    """What is kept, the oldest first."""
    found = call.board.conflicts.every()
    rows = [
        [
            one["id"],
            wording.ago(one["found"]["at"], call.now),
            printable(one["holder"]),
            _whom(one),
            wording.listing(file["name"] for file in one["files"]),
        ]
        for one in found
    ]
    headings = ["id", "found", "holder", "in a call of", "files"]
    title = "Held files that somebody else changed"
    lines = table(title, headings, rows, gives=["found", "in a call of"], cuts=["files"])
    if lines:
        lines.append(f"what changed: {call.command('conflict show', found[-1]['id'])}")
    return Answer({"conflicts": [_facts(one) for one in found]}, lines or ["no held file was changed by somebody else"])


def show(call: Call, *, conflict_id: str) -> Answer:
    """One conflict, with its diffs."""
    conflicts = call.board.conflicts
    one = conflicts.get(conflict_id)
    facts = _facts(one)
    lines = [
        f"files of {printable(one['holder'])} that were found changed {wording.ago(one['found']['at'], call.now)}",
        f"  in a call of: {_whom(one)}{_doubt(one)}",
    ]
    for file, shown in zip(one["files"], facts["files"], strict=True):
        text = conflicts.diff(file).decode("utf-8", "replace")
        shown["diff_text"] = text
        lines += ["", f"{printable(file['name'])}: {described(file['before'], file['after'])}"]
        lines += [f"  the holder's: {_side(file['before'])}", f"  found:        {_side(file['after'])}"]
        lines += printable_block(text.rstrip("\n"))[:_LINES_SHOWN_MAX] if text else []
    if any(file["before"] is not None and file["before"]["kept"] for file in one["files"]):
        lines += ["", f"put the holder's back: {call.command('conflict restore', one['id'])}"]
    return Answer(facts, lines)


def restore(call: Call, *, conflict_id: str, paths: tuple[str, ...], over: bool) -> Answer:
    """Write the holder's bytes back."""
    board = call.board
    names = [board.tree.canonical(path) for path in call.paths(paths)] if paths else []
    done = board.conflicts.restore(call.agent, conflict_id, names, over=over)
    lines = [f"{printable(name)} is what its holder had" for name in done["restored"]]
    lines += [f"{printable(name)} was that already" for name in done["unchanged"]]
    return Answer({"agent": call.agent, "id": conflict_id, **done}, lines)


def _facts(one: Conflict) -> dict[str, Any]:
    files = [{**file, "what": described(file["before"], file["after"])} for file in one["files"]]
    fields = ("id", "kind", "holder", "by", "certain", "also")
    return {
        **{field: one[field] for field in fields},  # type: ignore[literal-required]  # the words above
        "found_at": one["found"]["at"],
        "files": files,
        "restored": one.get("restored", []),
    }


def _whom(one: Conflict) -> str:
    return printable(one["by"]) if one["by"] else "nobody known"


def _doubt(one: Conflict) -> str:
    if one["certain"] or not one["by"]:
        return ""
    also = f": {wording.listing(one['also'])} in a call as well" if one["also"] else ""
    return f" (not certain{also})"


def _side(image: Image | None) -> str:
    if image is None:
        return "no file"
    if image["kind"] != "file":
        return "a folder" if image["kind"] == "folder" else "no regular file"
    kept = f"data/.agent_locks/kept/{image['sha256']}" if image["kept"] else "not kept"
    return f"{image['size']} bytes, {kept}"


_ID = argument("conflict_id", "ID")

VERBS = (
    Verb(
        "conflict list",
        list_,
        summary="List held files that somebody else changed.",
        text="They are kept for a week (setting conflict_ttl_s).",
        examples=("latchboard conflict list",),
    ),
    Verb(
        "conflict show",
        show,
        summary="Show what changed, and where both contents are kept.",
        text="ID is the one that the message and `conflict list` show.",
        parameters=(_ID,),
        examples=("latchboard conflict show 01795254000000000-a1b2c3d4e5f6-1",),
    ),
    Verb(
        "conflict restore",
        restore,
        summary="Write the holder's content of the files back.",
        text="ID is the one that the message and `conflict list` show; PATH names some of its files. They are locked "
        "for this agent while they are written. Refused (10): somebody else holds one of them, or one has been changed "
        "again since; with --over that newer content is kept with the conflict.",
        parameters=(
            _ID,
            argument("paths", "PATH", count="any"),
            flag("--over", "Write over newer content, too; it is kept."),
        ),
        examples=("latchboard conflict restore 01795254000000000-a1b2c3d4e5f6-1 --agent planner",),
        changes=True,
    ),
)
