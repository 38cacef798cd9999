"""queue board, queue graph: the queue as a picture.

Protocol: protocol/cli.md, "queue board".
"""

from __future__ import annotations

import shutil

from latchboard.errors import UsageError
from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, is_terminal, printable
from latchboard.surface.cli.grammar import Verb, option
from latchboard.surface.cli.table import cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

_CARDS_COUNT = 8
_COLUMN_CELLS_MIN, _COLUMN_CELLS_MAX = 22, 34
_WIDTH_ELSEWHERE = 100


def board(call: Call, *, cards: int | None) -> Answer:
    """The jobs by status, side by side, with the limits."""
    from latchboard.workqueue.columns import CARDS_COUNT_MAX, columns

    if cards is not None and cards > CARDS_COUNT_MAX:
        raise UsageError(f"--cards {cards} is more than {CARDS_COUNT_MAX}")
    facts = columns(call.board.queue.look(), call.now, cards_count=cards or _CARDS_COUNT)
    lines = [*_limits(facts), *_drawn(facts["columns"], call)]
    lines += [f"{one['job']} is stuck: {one['waits_for']} is {one['status']}" for one in facts["stuck"]]
    lines += [f"cannot be read: {printable(key)}" for key in facts["damaged"]]
    return Answer(facts, lines or ["the queue is empty"])


def _limits(facts: dict[str, Any]) -> list[str]:
    said = [f"{role} {one['in_progress']} of {one['limit']}" for role, one in facts["roles"].items()]
    total = facts["total"]
    if total["limit"] is not None:
        said.append(f"all {total['in_progress']} of {total['limit']}")
    return [f"in progress: {', '.join(said)}"] if said else []


def _drawn(columns: list[dict[str, Any]], call: Call) -> list[str]:
    """Columns side by side, as many as fit, the others below."""
    if not columns:
        return []
    width = shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns if is_terminal() else _WIDTH_ELSEWHERE
    beside = max(1, min(len(columns), width // _COLUMN_CELLS_MIN))
    cell = min(_COLUMN_CELLS_MAX, max(_COLUMN_CELLS_MIN, width // beside)) - 2
    lines: list[str] = []
    for start in range(0, len(columns), beside):
        drawn = [_column(one, cell, call) for one in columns[start : start + beside]]
        height = max(len(one) for one in drawn)
        lines.append("")
        for at in range(height):
            row = [_padded(one[at] if at < len(one) else "", cell) for one in drawn]
            lines.append("  ".join(row).rstrip())
    return lines


def _column(column: dict[str, Any], width: int, call: Call) -> list[str]:
    lines = [_cut(f"{column['status']} ({column['count']})", width), "-" * width]
    for card in column["jobs"]:
        lines.append(_cut(f"{card['id']} {printable(card['title'])}", width))
        if said := _said(card, call):
            lines.append(_cut(f"  {said}", width))
    if left := column["count"] - len(column["jobs"]):
        lines.append(f"... and {left:,} more")
    return lines


def _said(card: dict[str, Any], call: Call) -> str:
    """What matters most about a job."""
    if card["owner"] is not None:
        over = ", lease over" if card["remaining_s"] <= 0 else ""
        return f"{printable(card['owner'])}, {wording.age(card['since'], call.now)}{over}"
    if card["waits_for"]:
        return f"waits for {', '.join(card['waits_for'])}"
    if card["ready_at"] is not None:
        return f"not before {wording.moment(card['ready_at'], call.now)}"
    return printable(card["error"].strip().rpartition("\n")[2]) if card["status"] == "dead" else ""


def _cut(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def graph(call: Call, *, form: str) -> Answer:
    """Who waits for whom."""
    facts = call.board.queue.look().graph()
    if form in ("mermaid", "dot"):
        from latchboard.rules import workqueue_picture as pictures

        return Answer(facts, pictures.mermaid(facts) if form == "mermaid" else pictures.dot(facts))
    open_edges = [edge for edge in facts["edges"] if edge["is_open"]]
    lines = [f"{edge['to']} waits for {edge['from']} ({edge['kind']})" for edge in open_edges]
    return Answer(facts, lines or ["no job waits for another"])


VERBS = (
    Verb(
        "queue board",
        board,
        summary="Show the jobs by status side by side, who works on what, and the limits.",
        parameters=(option("--cards", "N", "Jobs shown of each status, at most 1,000. Default: 8.", kind=kind.count),),
        examples=("latchboard queue board", "latchboard queue board --cards 100 --json"),
    ),
    Verb(
        "queue graph",
        graph,
        summary="Show who waits for whom, as text or as a picture.",
        text="What `--form mermaid` writes is understood by GitHub and most editors, `--form dot` by graphviz.",
        parameters=(
            option("--form", "FORM", "How. Default: text.", default="text", choices=("text", "mermaid", "dot")),
        ),
        examples=("latchboard queue graph", "latchboard queue graph --form mermaid", "latchboard queue graph --json"),
    ),
)
