"""doctor: does what is set up do what it is there for; each thing that does not, with the command that mends it.

Protocol: protocol/cli.md, "doctor"; protocol/installation.md, "Probing".
"""

from __future__ import annotations

from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag
from latchboard.surface.cli.wording import listing, plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.doctor import Finding
    from latchboard.surface.cli.call import Call

CHECKS = {"hooks": "fire a made-up event through every hook that is installed, and see whether it holds"}
BROKEN = 1
"""Exit status when something is broken."""


def run(call: Call, *, hooks: bool) -> Answer:
    """Look, and change nothing here."""
    root = call.board.root
    if not hooks:
        lines = ["what can be looked at:", *(f"  latchboard doctor --{name}: {text}" for name, text in CHECKS.items())]
        return Answer({"root": root, "checks": list(CHECKS), "checked": [], "findings": []}, lines)
    from latchboard.compose.setting_up import hook_doctor

    findings = list(hook_doctor(call.board, call.own_root).look())
    facts = {
        "root": root,
        "checks": list(CHECKS),
        "checked": ["hooks"],
        "findings": [one.to_json() for one in findings],
    }
    is_broken = any(one.state == "broken" for one in findings)
    return Answer(facts, _lines(findings), status=BROKEN if is_broken else 0)


def _lines(findings: list[Finding]) -> list[str]:
    """What is well in one line for each file, and every trouble by itself."""
    if not findings:
        return ["no hook of ours, and no client that is used here: `latchboard init` sets up those that it finds"]
    lines = []
    for client, file in dict.fromkeys((one.client, _place(one)) for one in findings if one.state == "ok"):
        well = [one for one in findings if one.state == "ok" and (one.client, _place(one)) == (client, file)]
        slowest = max((one.took_ms for one in well if one.took_ms is not None), default=None)
        took = "" if slowest is None else f", {slowest:.0f} ms at most"
        lines.append(f"ok         {client}: {plural(len(well), 'hook')} in {printable(file)}{took}")
    troubles: dict[tuple[str, ...], list[str]] = {}
    for one in findings:
        if one.state != "ok":
            event = f"{one.event}{f' ({one.matcher})' if one.matcher else ''}"
            troubles.setdefault((one.state, one.client, one.file, one.what, one.mend), []).append(event)
    for (state, client, file, what, mend), events in troubles.items():
        lines.append(f"{state:<10} {client}: {printable(what)}")
        if file:
            lines.append(f"           in {printable(file)}{f': {listing(events)}' if any(events) else ''}")
        if mend:
            lines.append(f"           to mend it: {printable(mend)}")
    return lines


def _place(one: Finding) -> str:
    """Where a finding belongs: a client's file, or git's folder of hooks."""
    return one.file.rpartition("/")[0] if one.client == "git" else one.file


VERBS = (
    Verb(
        "doctor",
        run,
        summary="See whether the hooks that are installed hold.",
        text="With --hooks, runs the very command of every hook of ours that stands in a client's file, and git's "
        "guard, in a scratch project where another agent holds a file: it must be denied, a free one must not. The "
        "board here is not touched. Each finding is ok, broken, missing, untrusted (Codex runs no hook that "
        "you have not trusted) or slow (each hook compiles this program anew), with the command that mends it. Exit "
        "status 1: something is broken.",
        parameters=(flag("--hooks", "Try every hook."),),
        examples=("latchboard doctor --hooks", "latchboard doctor --hooks --json"),
    ),
)
