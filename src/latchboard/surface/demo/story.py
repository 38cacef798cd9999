"""Story: what the demo says, in plain words; the same on a live board, in lines and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latchboard.surface.demo.phase import Kill, Phase, Row
    from latchboard.surface.demo.show import Report
    from latchboard.surface.demo.tally import Tally

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_BETWEEN = "between two edits"
_STATES = {
    "starts": "starts",
    "ready": "is ready",
    "thinks": "edits",
    "rests": _BETWEEN,
    "middle": "edits",
    "killed": "killed, in mid-edit",
}
_AT_WORK = ("waits", "thinks", "rests")

NAMES = ("without", "with Latchboard")


def title(phase: Phase) -> str:
    """Which of the two phases this is."""
    return "2 of 2 · with Latchboard" if phase.plan.coordinated else "1 of 2 · without coordination"


def explanation(phase: Phase, before: Tally | None) -> list[str]:
    """What happens now and what to look at."""
    agents = count(len(phase.plan.agents), "agent")
    files = "file" if len(phase.plan.files) == 1 else count(len(phase.plan.files), "file")
    if not phase.plan.coordinated:
        return [
            f"{agents.capitalize()} edit the same {files}: read, think, write back one more line.",
            "Nobody knows of the others, and an older copy wipes out what they wrote.",
            "Look at `lost`: edits that were made and are in the file no more.",
        ]
    was = f"Before, {before.edits_lost:,} of {before.edits_made:,} edits were lost. " if before is not None else ""
    return [
        f"{was}Now everybody locks a file before",
        "reading it, waits in line for it, and tells another agent what has changed.",
        "Look at `lost`: it stays 0, also when an agent is killed holding a lock.",
    ]


def doing(phase: Phase, row: Row) -> tuple[str, str]:
    """What an agent does and with which file, for its line on the board.

    With Latchboard this is read off the real board, so that no two agents are ever seen to edit one file.
    """
    file = phase.plan.files[row.number] if row.number is not None else ""
    if row.state in _AT_WORK and phase.lookout is not None:
        if row.agent in phase.lookout.waits_for:
            file, holder = phase.lookout.waits_for[row.agent]
            return f"waits for {holder}" if holder else "waits in line", file
        file = phase.lookout.holds.get(row.agent, "")
        return "edits" if file else _BETWEEN, file
    return _STATES.get(row.state, "is done"), file


def killed(kill: Kill | None) -> str:
    """What happened to the agent that was killed; empty before."""
    if kill is None:
        return ""
    if not kill.held:
        return f"{kill.agent} was killed in the middle of an edit."
    if kill.heir is None or kill.heir_s is None:
        return f"{kill.agent} was killed in the middle of an edit, holding the lock."
    return f"{kill.agent} was killed holding the lock; {kill.heir} had it {milliseconds(kill.heir_s)} later."


def progress(phase: Phase) -> str:
    """One line on how far it is, for where there is no live board."""
    made = sum(len(made) for made in phase.made)
    messages = f", {phase.sent:,} messages" if phase.plan.coordinated else ""
    return f"{phase.elapsed_s:5.1f} s   {made:5,} edits made, {phase.lost:5,} lost{messages}"


def table(without: Tally, coordinated: Tally) -> list[tuple[str, str, str]]:
    """The rows of the final table: what, without, with."""

    def seconds(value: float | None) -> str:
        return "-" if value is None else milliseconds(value)

    both = (without, coordinated)
    rows = [
        ("edits made", *(f"{t.edits_made:,}" for t in both)),
        ("edits lost", *(f"{t.edits_lost:,}" for t in both)),
        ("edits that are in the files", *(f"{t.edits_kept:,}" for t in both)),
        ("files damaged", *(f"{t.files_damaged:,}" for t in both)),
        ("waits in line", "-", f"{len(coordinated.waits):,}"),
        ("  median wait", "-", seconds(coordinated.wait_median_s)),
        ("  longest wait", "-", seconds(coordinated.wait_longest_s)),
        ("takeovers", "-", f"{coordinated.takeovers:,}"),
        ("messages sent", "-", f"{coordinated.messages_sent:,}"),
        ("  received", "-", f"{coordinated.messages_received:,}"),
        ("  kept for the killed agent", "-", f"{coordinated.messages_kept:,}"),
        ("  lost", "-", f"{coordinated.messages_lost:,}"),
        ("seconds", *(f"{t.seconds:.1f}" for t in both)),
    ]
    return [(what, left, right) for what, left, right in rows]


def opening(report: Report) -> list[str]:
    """What was worked on."""
    where = f"{count(len(report.files), 'file')} of {report.source}"
    return [f"{count(report.agents, 'agent').capitalize()}, {where}, copied to a temporary folder:", *report.files]


def verdict(report: Report) -> list[str]:
    """What it proves, or what speaks against it."""
    if report.problems:
        return [f"{problem}." for problem in report.problems]
    without = report.without
    lines = [f"Without Latchboard {without.edits_lost:,} of {without.edits_made:,} edits were lost. With it, none."]
    if report.kill is not None:
        lines.append(killed(report.kill))
    if report.pressed:
        lines.append("(The first try lost no edit; this is the second, on one file, with longer thinking.)")
    return lines


def count(number: int, thing: str) -> str:
    """`eight agents`, `one file`, `17 files`."""
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {thing}" if number == 1 else f"{word} {thing}s"


def milliseconds(seconds: float) -> str:
    """A time for people: `4.1 ms`, `52 ms`, `1.2 s`."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def shorter(name: str, width: int) -> str:
    """A file name that fits: without its first folders, or else without its first characters."""
    folders = name.split("/")
    while len(name) > width and len(folders) > 1:
        folders = folders[1:]
        name = "/".join(["…", *folders])
    return name if len(name) <= width else f"…{name[len(name) - width + 1 :]}"


def clock(phase: Phase) -> str:
    """How far the phase is."""
    if phase.stage == "starts":
        return "starting"
    if phase.stage in ("stops", "over"):
        return "counting"
    return f"{phase.elapsed_s:.0f} of {phase.plan.seconds:g} s"
