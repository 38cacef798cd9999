"""break: an operator ends a hold that has not expired; recorded, and the holder is told.

Protocol: protocol/cli.md, "break".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.surface.cli import option, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call, *, path: str, reason: str, token: int | None) -> Answer:
    """Break, and say whose it was."""
    from latchboard.locks.handoff import break_lock

    agent, locks = call.agent, call.board.locks
    asked = call.paths([path])
    damaged = ""
    try:
        locks.check(asked)
    except MalformedRecord as exc:
        damaged = exc.message
    broken = break_lock(locks, asked[0], by=agent, reason=reason, token=token)
    facts = {"by": agent, "reason": reason, "broken": broken, "damaged": damaged}
    lines = []
    for one in broken:
        since = wording.ago(one["since"], call.now)
        lines.append(f"{printable(agent)} broke the lock of {printable(one['agent'])} on {printable(one['name'])}")
        lines.append(f"  it was held since {since}, token {one['token']}; {printable(one['agent'])} has been told")
    if damaged and not broken:
        lines.append(f"removed what could not be read: {printable(damaged)}")
    if not lines:
        lines = [f"{printable(path)} is held by nobody; nothing was changed"]
    return Answer(facts, lines)


VERBS = (
    Verb(
        "break",
        run,
        summary="End somebody's lock before its time; recorded, and the holder is told.",
        text="For operators: when the holder is stuck and its lease has long to go. The former holder's guarded "
        "writes, renewals and releases are refused from then on. With --token, a newer hold is left alone. A record "
        "that cannot be read is removed.",
        parameters=(argument("path", "PATH"), option.REASON, option.TOKEN),
        examples=('latchboard break src/a.py --agent operator --reason "builder hangs since noon"',),
        changes=True,
    ),
)
