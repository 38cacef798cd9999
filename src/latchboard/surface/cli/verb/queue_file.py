"""queue import, queue export, queue sync: the queue in and out of files of the founding form.

Protocol: protocol/cli.md, "queue import".
"""

from __future__ import annotations

import os
import sys

from latchboard.errors import UsageError
from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, flag, option
from latchboard.surface.cli.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

FOUNDING_NAME = "SPRINT_QUEUE.json"
_CONFLICTS_EXIT_STATUS = 10
_SHOWN_COUNT = 20


def bring(call: Call, *, file: tuple[str, ...], prefer: str | None) -> Answer:
    """Make jobs of the tasks of a file."""
    path = _one(file) or FOUNDING_NAME
    data = _read(path)
    with Progress(call, "importing") as progress:
        facts = call.board.queue_files.bring(data, path=path, by=call.agent, prefer=_side(prefer), progress=progress)
    lines = [f"imported {wording.plural(len(facts['imported']), 'job')} from {printable(path)}"]
    lines += [f"  {printable(one)} is being worked on: its claim goes on" for one in facts["claimed"][:_SHOWN_COUNT]]
    if facts["changed"]:
        lines.append(f"  changed {wording.few(facts['changed'], 'job')}")
    if facts["same_count"]:
        lines.append(f"  {wording.plural(facts['same_count'], 'job')} said the same before")
    lines += [f"  limit of {role}: {limit}" for role, limit in facts["limits"].items()]
    return Answer(facts, lines)


def export(call: Call, *, file: tuple[str, ...], force: bool) -> Answer:
    """Write the whole queue."""
    path = _one(file) or "-"
    data, count = call.board.queue_files.export()
    from latchboard.host.queue_file import QueueFile
    from latchboard.rules.queue_file import read

    facts: dict[str, Any] = {"file": None, "jobs_count": count, "bytes_count": len(data)}
    if path == "-":
        return Answer({**facts, "document": read(data)}, data.decode().rstrip("\n").split("\n"))
    full = os.path.abspath(path)
    if not os.path.isdir(os.path.dirname(full)):
        raise UsageError(f"there is no folder for {path!r:.200}", hint="make the folder first")
    target = QueueFile(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
    before = target.read()
    if before is not None and not force:
        try:
            read(before)
        except UsageError as exc:
            raise UsageError(
                f"{path} is there, and is no queue file", hint="choose another name, or add --force"
            ) from exc
    target.write(data, instead_of=before)
    return Answer({**facts, "file": full}, [f"exported {wording.plural(count, 'job')} to {printable(path)}"])


def sync(call: Call, *, file: tuple[str, ...], prefer: str | None) -> Answer:
    """Merge a file with the queue."""
    path = _one(file)
    live = call.board.live_file(os.path.abspath(path) if path is not None else None)
    call.follows = live.path != f"{call.board.root}/{call.board.settings.queue_file}"  # or it would be told twice
    with Progress(call, "importing") as progress:
        facts = live.sync(by=call.agent, prefer=_side(prefer), progress=progress)
    name = printable(path or call.board.settings.queue_file)
    lines = []
    for what in ("imported", "changed", "cancelled"):
        if facts[what]:
            lines.append(f"{what} {wording.few(facts[what], 'job')}, as {name} says")
    if facts["is_written"]:
        lines.append(f"wrote {name}")
    lines += conflicts_told(facts["conflicts"])
    status = _CONFLICTS_EXIT_STATUS if facts["conflicts"] else 0
    return Answer(facts, lines or [f"{name} and the queue say the same"], status=status)


def conflicts_told(conflicts: list[dict[str, Any]]) -> list[str]:
    """Lines about what could not be merged."""
    lines = []
    for one in conflicts[:_SHOWN_COUNT]:
        name = f"{one['task']}.{one['field']}".rstrip(".")
        lines.append(f"conflict: {printable(name)}: {printable(one['why'])}")
    if left := len(conflicts) - len(lines):
        lines.append(f"... and {left} more")
    if conflicts:
        lines.append("make both the same, or say which side counts: --prefer file, or --prefer queue")
    return lines


def _one(file: tuple[str, ...]) -> str | None:
    if len(file) > 1:
        raise UsageError(f"one FILE, not {len(file)}", hint="name one")
    return file[0] if file else None


def _side(prefer: str | None) -> Any:
    return prefer or ""


def _read(path: str) -> bytes:
    from latchboard.host.queue_file import BYTES_MAX, read_any

    if path != "-":
        return read_any(path)
    data = sys.stdin.buffer.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise UsageError(f"standard input is larger than {BYTES_MAX:,} bytes")
    return data


_FILE = argument("file", "FILE", count="any")
_PREFER = option("--prefer", "SIDE", "The side that counts where both say different things.", choices=("file", "queue"))

VERBS = (
    Verb(
        "queue import",
        bring,
        summary="Make jobs of the tasks of a queue file, such as SPRINT_QUEUE.json.",
        text="FILE is SPRINT_QUEUE.json where none is named; - is standard input. The whole file is checked first; "
        "tasks that are jobs already are left alone, so that it may be done again. Exit status 10: a job says "
        "something else than its task, and nothing was imported. 12: it is no queue file.",
        parameters=(_FILE, _PREFER),
        examples=("latchboard queue import SPRINT_QUEUE.json --agent lead",),
        changes=True,
        waits=True,
    ),
    Verb(
        "queue export",
        export,
        summary="Write the whole queue as a queue file.",
        text="To standard output where no FILE is named. A file that is there is replaced if it is a queue file.",
        parameters=(_FILE, flag("--force", "Replace also what is no queue file.")),
        examples=("latchboard queue export", "latchboard queue export SPRINT_QUEUE.json"),
    ),
    Verb(
        "queue sync",
        sync,
        summary="Merge a queue file with the queue: what either side changed comes to the other.",
        text="FILE is that of the setting queue_file where none is named; one that is missing is made. What both sides "
        "changed stays as it is on both, and is told (exit status 10), until --prefer says which counts. 12: it is no "
        "queue file, and was left alone.",
        parameters=(_FILE, _PREFER),
        examples=("latchboard queue sync SPRINT_QUEUE.json --agent lead", "latchboard queue sync --agent lead --json"),
        changes=True,
        waits=True,
    ),
)
