"""service install, uninstall, status: workers and the daemon under the user's service manager.

Protocol: protocol/cli.md, "service install"; protocol/supervision.md, "Service units".
"""

from __future__ import annotations

from latchboard.rules.supervision import ROLES
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, flag, option
from latchboard.surface.cli.table import table
from latchboard.surface.cli.verb.daemon import FINDINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call
    from latchboard.units import Report

_DID = {
    "made": ("wrote", "would write"),
    "replaced": ("replaced", "would replace"),
    "removed": ("removed", "would remove"),
    "as-is": ("as it should be:", "as it should be:"),
    "missing": ("missing:", "missing:"),
    "outdated": ("of another version:", "of another version:"),
    "surplus": ("not wanted any more:", "not wanted any more:"),
    "left": ("left", "would leave"),
}


def install(call: Call, *, role: tuple[str, ...], now: bool, manager: str | None, dry_run: bool) -> Answer:
    """Write the units, and enable them."""
    from latchboard.compose import unit_files

    units, workers = unit_files.build(call.board, manager), unit_files.workers(call.board)
    roles = unit_files.roles(call.board, role)
    report = units.install(workers, roles, is_all=not role, now=now, dry_run=dry_run)
    what = "would take away, for it is not wanted any more:" if dry_run else "took away, for it is not wanted any more:"
    lines = _lines(report, dry_run=dry_run, surplus=what)
    if not report.is_reachable and not dry_run:
        lines.append("the service manager does not run here: they start with the next log-in")
    elif not now and not dry_run and not all(one["is_active"] for one in report.units if one["is_wanted"]):
        lines.append(f"to start them now: {call.command('service install', '--now', as_agent=False)}")
    return Answer(_facts(call, report, dry_run=dry_run), lines, status=FINDINGS if report.left else 0)


def uninstall(call: Call, *, manager: str | None, dry_run: bool) -> Answer:
    """Take them away."""
    from latchboard.compose import unit_files

    call.do_without_settings()
    units, workers = unit_files.build(call.board, manager), unit_files.workers(call.board, is_lenient=True)
    report = units.uninstall(workers, list(dict.fromkeys([*ROLES, *workers])), dry_run=dry_run)
    lines = _lines(report, dry_run=dry_run) or ["nothing of this project is installed"]
    return Answer(_facts(call, report, dry_run=dry_run), lines, status=FINDINGS if report.left else 0)


def status(call: Call, *, manager: str | None) -> Answer:
    """Tell how they stand."""
    from latchboard.compose import unit_files

    report = unit_files.build(call.board, manager).status(
        unit_files.workers(call.board), unit_files.roles(call.board, ())
    )
    lines = _lines(report, dry_run=False, surplus="more than the configuration wants:")
    if any(not one["is_wanted"] for one in report.units) or any(one["what"] == "surplus" for one in report.files):
        lines.append(f"to take away what is too much: {call.command('service install', as_agent=False)}")
    return Answer(_facts(call, report, dry_run=False), lines, status=0 if report.is_complete else FINDINGS)


def _facts(call: Call, report: Report, *, dry_run: bool) -> dict[str, Any]:
    return {"root": call.board.root, "dry_run": dry_run, **report.to_json()}


def _lines(report: Report, *, dry_run: bool, surplus: str = "") -> list[str]:
    lines = []
    for one in report.files:
        why = f": {printable(one['why'])}" if one["why"] else ""
        lines.append(f"{_DID[one['what']][dry_run]} {printable(one['name'])}{why}")
    if surplus:
        lines += [f"{surplus} {printable(one['name'])}" for one in report.units if not one["is_wanted"]]
    rows = [
        (printable(one["name"]), "yes" if one["is_enabled"] else "no", "yes" if one["is_active"] else "no")
        for one in report.units
    ]
    return [*lines, *table(f"Units ({report.manager})", ("unit", "enabled", "runs"), rows, cuts=("unit",))]


_MANAGER = option("--manager", "NAME", "Whose units: the one that is here, by default.", choices=("systemd", "launchd"))
_DRY_RUN = flag("--dry-run", "Say what would be done, and do nothing.")

VERBS = (
    Verb(
        "service install",
        install,
        summary="Have the user's service manager run the workers and the daemon of this project.",
        text="Writes a unit for each of the five founding roles, each further one that is configured, and the daemon; "
        "enables those of configured roles, so that they start with the next log-in. Needs no root. On Linux "
        "systemd, on macOS launchd. A file that is not ours, or was changed, is left and told (status 3). Twice is "
        "harmless; after a change of the roles what is not wanted any more is ended and taken away.\n\nUnits are "
        "templates for all projects of this user; a project is an instance of them. Without a service "
        "manager `latchboard agents start` does it.",
        parameters=(
            argument("role", "[ROLE]...", count="any"),
            flag("--now", "Start them, too."),
            _MANAGER,
            _DRY_RUN,
        ),
        examples=("latchboard service install --dry-run", "latchboard service install --now"),
    ),
    Verb(
        "service uninstall",
        uninstall,
        summary="Take this project's units away, and end them.",
        text="Exactly what `service install` made; templates stay as long as another project uses them.",
        parameters=(_MANAGER, _DRY_RUN),
        examples=("latchboard service uninstall --dry-run", "latchboard service uninstall"),
    ),
    Verb(
        "service status",
        status,
        summary="Show which units are there, enabled, and running.",
        text="Changes nothing.\n\nExit status 0: all files are as they should be, all units are enabled, and none is "
        "too much; 3: not so.",
        parameters=(_MANAGER,),
        examples=("latchboard service status", "latchboard service status --json"),
    ),
)
