"""agents: every agent that has said something, holds something or waits; changes nothing.

Protocol: protocol/cli.md, "agents".
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb
from latchboard.surface.cli.table import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(call: Call) -> Answer:
    """List them."""
    agents = [one for one in call.board.board.agents() if call.named_agent in (None, one["agent"])]
    if call.as_json:
        return Answer({"agents": agents})
    rows = []
    for one in agents:
        seen = wording.age(one["heartbeat_at"], call.now) if one["heartbeat_at"] else "never"
        process = f"{one['process']} ({one['pid']})" if one["process"] else ""
        rows.append(
            (
                printable(one["agent"]),
                printable(one["status"]),
                wording.few(one["files"], "file"),
                wording.few(one["holds"], "lock"),
                seen + (", quiet" if one["quiet"] else ""),
                process,
            )
        )
    headings = ("agent", "status", "files", "holds", "last update", "process")
    lines = table("Agents", headings, rows, gives=("files", "process", "status"), cuts=("holds",))
    if call.named_agent is None:
        nobody = "no agent has said anything here, and none holds anything"
    else:
        nobody = f"{printable(call.named_agent)} has said nothing here, and holds nothing"
    return Answer({"agents": agents}, lines or [nobody])


VERBS = (
    Verb(
        "agents",
        run,
        summary="List the agents: status, files, locks, last sign of life.",
        text="--agent shows one alone. The process is the one that spoke last: live, dead, recycled (its number went "
        "to another one) or unknowable (another machine or container).",
        examples=("latchboard agents", "latchboard agents --json"),
    ),
)
