"""doctor: how everything stands, what is wrong, and the command that mends it; what the hooks really do.

Protocol: protocol/cli.md, "doctor"; protocol/health.md, "Doctor"; protocol/installation.md, "Probing".
"""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError, UsageError
from latchboard.surface.cli import answer, kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.call import current_folder
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.doctor import DoctorReport
    from latchboard.surface.cli.call import Call

BROKEN = 1
"""Exit status when a hook is broken."""
THRESHOLD_S = 60.0


def run(call: Call, *, hooks: bool, stuck_threshold: float, **wishes: bool) -> Answer:
    """Look; and do what was asked for, where there is a finding for it."""
    if hooks:
        if any(wishes.values()):
            raise UsageError("--hooks tries hooks, and nothing else", hint="mend in a second call, without --hooks")
        return _probe(call)
    from latchboard.compose import doctoring
    from latchboard.surface.cli.doctoring import deed_lines, report_lines

    agent = call.agent_if_any
    known: list[tuple[Latchboard, str, bool]] = []

    def find() -> tuple[Latchboard, str, bool]:
        board, has_trouble = _board(call)
        known.append((board, board.root if has_trouble else call.own_root, has_trouble))
        return known[0]

    def look() -> DoctorReport:
        patient = (lambda: known[0]) if known else find
        where = call.named_root or current_folder()
        return doctoring.examine(patient, where, agent=agent, threshold_s=stuck_threshold)

    report = look()
    asked = [one for one in ("reset", "unstick-lock", "fix") if wishes[one.replace("-", "_")]] if known else []
    deeds = []
    for one in asked:
        # A record that nobody stands behind is cleared by the next holder anyway: that needs no second word.
        is_dry = wishes["dry_run"] or (one != "unstick-lock" and not wishes["force"])
        deeds += doctoring.mend(known[0][0], one, threshold_s=stuck_threshold, dry_run=is_dry)
    if any(one.is_done for one in deeds):
        report = look()
    for board, _, _ in known:
        board.close()
    _show_mistakes(report)
    options = [f"--{one}" for one in asked]
    again = call.command("doctor", *options, *(["--force"] if {"reset", "fix"} & set(asked) else []), as_agent=False)
    lines = deed_lines(deeds, asked=asked, again=again) if asked else []
    facts = {**report.to_json(), "deeds": [one.to_json() for one in deeds]}
    return Answer(facts, [*lines, *report_lines(report)], status=report.exit_status)


def _board(call: Call) -> tuple[Latchboard, bool]:
    """The project's services; with settings that cannot be read, with the defaults, and True."""
    from latchboard.compose import doctoring

    try:
        return call.board, False
    except CoordinationError as exc:
        root = call.named_root if call.named_root is not None else _nearest()
        if not root or not os.path.isdir(root):
            raise exc
        board, has_trouble = doctoring.patient(root)
        if not has_trouble:
            raise exc
        return board, True


def _nearest() -> str:
    """The project around the current folder; "" where there is none."""
    from latchboard.host.root import root_of

    root = root_of(current_folder())
    return root if any(os.path.exists(f"{root}/{sign}") for sign in ("data/.agent_locks", ".git")) else ""


def _show_mistakes(report: DoctorReport) -> None:
    """Where a check broke, for whoever asks by the variable; what the error says may have a secret in it."""
    if not os.environ.get("LATCHBOARD_TRACEBACK"):
        return
    import traceback

    for exc in report.traces:
        if not isinstance(exc, CoordinationError | OSError):
            frames = "".join(traceback.format_tb(exc.__traceback__))
            answer.warn(f"{frames}{type(exc).__name__}")


def _probe(call: Call) -> Answer:
    """Try every hook."""
    from latchboard.compose.setting_up import hook_doctor
    from latchboard.surface.cli.doctoring import hook_lines

    probed = list(hook_doctor(call.board, call.own_root).look())
    facts: dict[str, Any] = {
        "root": call.board.root,
        "checks": ["hooks"],
        "checked": ["hooks"],
        "findings": [one.to_json() for one in probed],
    }
    is_broken = any(one.state == "broken" for one in probed)
    return Answer(facts, hook_lines(probed), status=BROKEN if is_broken else 0)


VERBS = (
    Verb(
        "doctor",
        run,
        summary="Tell how everything stands, what is wrong, and the command that mends it.",
        text="Seven sections: Identity, Tokens, Storage, Refresh Lock, Daemon, Orphans, Findings. It changes nothing, "
        "takes no lock, speaks to this machine alone, shows no secret, and is done within 3 s: what hangs is told as "
        "unfinished.\n\nWith --reset, --unstick-lock or --fix it does what a finding is about, and nothing where there "
        "is none. --reset sets the record of a credential aside that cannot be read; --unstick-lock clears the record "
        "of a machine lock whose holder is gone; --fix repairs the store by its own rules, after a copy of what it "
        "changes. --reset and --fix only say what they would do, unless --force is given.\n\nWith --hooks, runs the "
        "very command of every hook of ours that stands in a client's file, and git's guard, in a scratch project "
        "where another agent holds a file: it must be denied, a free one must not. The board here is not touched.\n\n"
        "Exit status 0: nothing is critical; 1: something is, or a hook is broken; 2: the doctor itself made a "
        "mistake, and the report is a part.",
        parameters=(
            flag("--hooks", "Try every hook, instead of looking."),
            flag("--reset", "Set records of credentials aside that cannot be read (F-001)."),
            flag("--unstick-lock", "Clear records of machine locks whose holder is gone (F-003)."),
            flag("--fix", "Repair the store and the queue (F-101 to F-106, F-125)."),
            flag("--dry-run", "Only say what would be done."),
            flag("--force", "Do what --reset and --fix say."),
            option(
                "--stuck-threshold",
                "SECONDS",
                "A machine lock that is older is stuck. Default: 60.",
                kind=kind.seconds,
                default=THRESHOLD_S,
            ),
        ),
        examples=(
            "latchboard doctor",
            "latchboard doctor --json",
            "latchboard doctor --fix --force",
            "latchboard doctor --hooks",
        ),
    ),
)
