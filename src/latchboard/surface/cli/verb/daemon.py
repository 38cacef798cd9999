"""daemon: is the recorded daemon really one; what enforcement would do; the line in the settings file.

Protocol: protocol/cli.md, "daemon verify".
"""

from __future__ import annotations

from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.daemon_process import Daemons, Recorded
    from latchboard.surface.cli.call import Call

FINDINGS = 3
"""Exit status when what was asked about is not provably this project's daemon."""

_WHY = {
    "dead": "it has ended",
    "recycled": "it has ended, and its number belongs to another process",
    "unknowable": "it cannot be judged from here: another pid namespace, or another machine",
    "unreadable": "not all of it can be read, so nothing is proven",
    "other-program": "it is another program",
    "other-project": "it is the daemon of another project",
    "other-user": "it runs as another user",
    "garbage": "what is recorded names no process",
    "recorded": "the recorded daemon, which stays",
    "itself": "this very process, which stays",
    "ancestor": "what started this process, and stays",
    "init": "process 1, which stays",
    "child": "forked by a daemon that stays, and stays",
    "": "one too many",
}
_MODES = {
    "off": "enforcement is off (enforce_single_daemon_process): nothing is listed, nothing is ended",
    "host": "enforcement is on, and nothing here proves a container: a stale PID file goes, nothing is ended",
    "container": "enforcement is on, in a container: this project's other daemons end when a daemon starts",
}


def verify(call: Call, *, pid: int | None, scan: bool) -> Answer:
    """Look at the record, at one process, at all of them; change nothing."""
    from latchboard.rules import container

    daemons = call.board.daemons
    recorded, listed, mode = daemons.verify(), daemons.indicators(), daemons.mode
    checked = None if pid is None else _checked(daemons, pid)
    found = _found(daemons, mode) if scan else None
    facts = {
        "root": call.board.root,
        "recorded": recorded.to_json(),
        "checked": checked,
        "container": {
            "points": container.score(listed),
            "threshold_points": container.THRESHOLD_POINTS,
            "is_container": container.is_container(listed),
            "has_hard_evidence": container.has_hard_evidence(listed),
            "indicators": listed,
        },
        "enforcement": {"is_on": mode != "off", "mode": mode},
        "processes": found,
    }
    is_fine = checked["is_ours"] if checked is not None else recorded.state == "running"
    return Answer(facts, _lines(call, recorded, facts), status=0 if is_fine else FINDINGS)


def _checked(daemons: Daemons, pid: int) -> dict[str, Any]:
    why = daemons.why_not(pid)
    return {"pid": pid, "is_ours": not why, "why": why}


def _found(daemons: Daemons, mode: str) -> list[dict[str, Any]]:
    return [
        {**one.to_json(), "would_end": mode == "container" and not one.why and not one.spared} for one in daemons.find()
    ]


def _lines(call: Call, recorded: Recorded, facts: dict[str, Any]) -> list[str]:
    lines = [_recorded(recorded, call.now)]
    checked, container = facts["checked"], facts["container"]
    if checked is not None:
        what = (
            "is this project's daemon"
            if checked["is_ours"]
            else f"is not this project's daemon: {_WHY[checked['why']]}"
        )
        lines.append(f"process {checked['pid']} {what}")
    evidence = "with hard evidence" if container["has_hard_evidence"] else "without hard evidence"
    what = "a container" if container["is_container"] else "no container"
    lines.append(f"{what}: {container['points']} points, {container['threshold_points']} are enough; {evidence}")
    lines += [f"  {one['points']}  {printable(one['indicator'])}" for one in container["indicators"]]
    lines.append(_MODES[facts["enforcement"]["mode"]])
    if facts["processes"] is None:
        lines.append(
            f"  to list processes that have our name: {call.command('daemon verify', '--scan', as_agent=False)}"
        )
        return lines
    for one in facts["processes"]:
        end = "; a start would end it" if one["would_end"] else ""
        lines.append(f"  process {one['pid']}: {'ours' if one['is_ours'] else 'not ours'}, {_WHY[one['why']]}{end}")
    count = sum(one["is_ours"] for one in facts["processes"])
    lines.append(f"  {wording.plural(count, 'daemon', 'daemons')} of this project")
    return lines


def _recorded(recorded: Recorded, now: Now) -> str:
    since = f", started {wording.ago(recorded.started_at, now)}" if recorded.started_at else ""
    if recorded.state == "running":
        return f"the recorded daemon runs: process {recorded.pid}{since}"
    if recorded.state == "none":
        return "no daemon is recorded"
    who = "what is recorded" if recorded.pid is None else f"the recorded process {recorded.pid}"
    return f"{who} is not this project's daemon{since}: {_WHY[recorded.why]}"


def config(call: Call, *, write: bool) -> Answer:
    """Show what the settings file should say, or have it say so."""
    from latchboard.daemon_config import configure
    from latchboard.host.settings_file import SettingsFile
    from latchboard.rules import container

    is_container = container.is_container(call.board.daemons.indicators())
    made = configure(SettingsFile(call.board.root), is_container=is_container, write=write)
    is_written = write and made.is_changed
    facts = {
        "path": made.path,
        "is_container": made.is_container,
        "value": made.value,
        "is_changed": made.is_changed,
        "is_written": is_written,
        "text": made.text,
    }
    if made.value is not None:
        word = "true" if made.value else "false"
        return Answer(facts, [f"enforce_single_daemon_process = {word} is your word, and stays"])
    if not made.is_changed:
        return Answer(facts, [f"{printable(made.path)} is as it should be"])
    if is_written:
        what = "active, for this is a container" if made.is_container else "commented out, for this is no container"
        return Answer(facts, [f"wrote enforce_single_daemon_process into {printable(made.path)}: {what}"])
    lines = [f"{printable(made.path)} would be:", *(f"  {printable(line)}" for line in made.text.splitlines())]
    lines.append(f"to write it: {call.command('daemon config', '--write', as_agent=False)}")
    return Answer(facts, lines)


VERBS = (
    Verb(
        "daemon verify",
        verify,
        summary="Tell whether the recorded daemon runs and is this project's.",
        text="Alive, started by our command line, for this very folder, by this user, at the recorded time: all of it, "
        "or it is not ours. Says, too, whether this is a container and by which signs, and what a start would end. "
        "Changes nothing.\n\nExit status 0: the recorded daemon (or with --pid that process) is this project's; 3: it "
        "is not, or none is recorded.",
        parameters=(
            option("--pid", "NUMBER", "Judge this process instead of the recorded one.", kind=kind.count),
            flag("--scan", "List every process that has our name in its command line, and judge it."),
        ),
        examples=(
            "latchboard daemon verify",
            "latchboard daemon verify --scan --json",
            "latchboard daemon verify --pid 4242",
        ),
    ),
    Verb(
        "daemon config",
        config,
        summary="Show or write the line of latchboard.toml that is about daemons.",
        text="In a container it is `enforce_single_daemon_process = true`; elsewhere a comment that explains it. A "
        "value that is there already is yours, and stays.",
        parameters=(flag("--write", "Write it, instead of showing it."),),
        examples=("latchboard daemon config", "latchboard daemon config --write"),
    ),
)
