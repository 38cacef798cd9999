"""cleanup: remove what is over; fit for cron: silent when there is nothing to say.

Protocol: protocol/cli.md, "cleanup". docs/cleanup.md has a crontab line and a systemd timer.
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.cleanup import Report
    from latchboard.surface.cli.call import Call

FINDINGS = 3
"""Exit status when records cannot be read."""


def run(call: Call, *, dry_run: bool) -> Answer:
    """One pass, and the truth about it."""
    call.commits = not dry_run
    report = call.board.cleanup.run(dry_run=dry_run)
    if not dry_run:
        call.publish(now=True)  # what the last commands left out is in it from now on
        call.commits = False
    facts = report.to_json()
    facts.pop("format")
    return Answer(facts, _lines(call, report), status=FINDINGS if report.damaged else 0)


def _lines(call: Call, report: Report) -> list[str]:
    did = "would remove" if report.dry_run else "removed"
    lines = []
    for hold in report.locks:
        of = f"{printable(hold['agent'])}'s lock on {printable(hold['name'])}"
        lines.append(f"{did} {of} ({printable(hold['why'])})")
    for waiter in report.waiters:
        of = f"{printable(waiter['agent'])}'s place in line for {wording.listing(waiter['names'])}"
        lines.append(f"{did} {of} ({printable(waiter['why'])})")
    for grant in report.granted:
        got = "would get" if report.dry_run else "got"
        lines.append(f"{printable(grant['agent'])} {got} {wording.listing(grant['names'])}")
    for agent in report.agents:
        lines.append(f"{did} {printable(agent['agent'])} from the board")
    counts = (
        (len(report.leases), "lease that covers nothing", "leases that cover nothing"),
        (report.mail.get("archived", 0), "old message", "old messages"),
        (report.mail.get("broadcasts", 0), "old broadcast", "old broadcasts"),
        (report.editing.get("images", 0), "image of a file that is not held", "images of files that are not held"),
        (report.editing.get("calls", 0), "call without an end", "calls without an end"),
        (report.editing.get("conflicts", 0), "old conflict", "old conflicts"),
        (report.editing.get("kept", 0), "kept file that nothing refers to", "kept files that nothing refers to"),
        (len(report.leftovers), "file of a killed process", "files of killed processes"),
    )
    lines += [f"{did} {wording.plural(count, one, many)}" for count, one, many in counts if count]
    for one in report.damaged:
        lines.append(f"left {printable(one['key'])}, which cannot be read: {printable(one['reason'])}")
    if report.damaged:
        lines.append(f"  it counts as held; to remove it: {call.command('break', 'PATH', '--reason', '...')}")
    return lines


VERBS = (
    Verb(
        "cleanup",
        run,
        summary="Remove what is over: expired holds, dead waiters, old mail.",
        text="Nothing depends on it: whoever asks for a lock takes over by itself what is over. A live lock stays. "
        "Prints nothing when there was nothing to do. Exit status 0: done; 3: done, and some records cannot be read.",
        parameters=(flag("--dry-run", "Say what would go, and change nothing."),),
        examples=(
            "latchboard cleanup --root /srv/project",
            "*/10 * * * *  latchboard cleanup --root /srv/project     (a line of a crontab)",
            "a systemd timer for it is in docs/cleanup.md",
        ),
        changes=True,
    ),
)
