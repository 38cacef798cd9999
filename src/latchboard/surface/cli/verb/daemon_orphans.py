"""daemon orphans, sweep: daemons of this project that are not its daemon.

Protocol: protocol/cli.md, "daemon orphans".
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb
from latchboard.surface.cli.verb.daemon import FINDINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

_WHY = {
    "no-pid": "it answers like a daemon, and does not say which process it is",
    "no-answer": "it is a daemon of this project, and answers on no port of the range",
    "not-its-port": "the process that it names does not listen there",
    "other-project": "it is the daemon of another project",
    "other-program": "the process that it names is another program",
    "other-user": "it runs as another user",
    "dead": "there is no such process here",
    "recycled": "it has ended, and its number belongs to another process",
    "unknowable": "its process cannot be judged from here",
    "unreadable": "its process cannot be read",
    "changed": "it became something else while it was looked at",
    "init": "it is process 1 here, which stays",
    "ancestor": "it started this very command",
    "child": "it was forked by a daemon that stays",
    "recorded": "it is the project's daemon by now",
    "no-grip": "the system gives no hold on it, so that a signal might meet another one",
    "not-permitted": "the system does not permit it",
    "survived": "it survived SIGKILL: it hangs in the kernel",
}
_UNSAID = ("other-project",)
"""Somebody else's daemon is nothing to tell people about; programs are told."""


def orphans(call: Call) -> Answer:
    """List them."""
    scan = call.board.daemon.scan()
    facts = {
        "root": call.board.root,
        "orphans": [one.to_json() for one in scan.orphans],
        "skipped": scan.skipped,
    }
    lines = [f"port {one.port}: process {one.pid}, version {printable(one.version)}" for one in scan.orphans]
    lines += _skipped(scan.skipped)
    lines.append(wording.plural(len(scan.orphans), "orphan", "orphans"))
    if scan.orphans:
        lines.append(f"  to end them: {call.command('daemon sweep', as_agent=False)}")
    return Answer(facts, lines, status=FINDINGS if scan.orphans else 0)


def sweep(call: Call) -> Answer:
    """End them."""
    report = call.board.daemon.sweep()
    facts = {"root": call.board.root, **report.to_json()}
    lines = [f"ended {_who(one)} ({', '.join(one['path'])})" for one in report.swept]
    lines += [f"still there: {_who(one)}: {_why(one)}" for one in report.failed]
    lines += _skipped(report.skipped)
    lines.append(f"{wording.plural(len(report.swept), 'orphan', 'orphans')} ended")
    return Answer(facts, lines, status=1 if report.failed else 0)


def _skipped(skipped: list[dict[str, Any]]) -> list[str]:
    return [f"left alone: {_who(one)}: {_why(one)}" for one in skipped if one["why"] not in _UNSAID]


def _who(one: dict[str, Any]) -> str:
    named = [f"port {one['port']}"] if one["port"] is not None else []
    return ", ".join([*named, f"process {one['pid']}" if one["pid"] is not None else "no process named"])


def _why(one: dict[str, Any]) -> str:
    return _WHY.get(one["why"], printable(one["why"]))


VERBS = (
    Verb(
        "daemon orphans",
        orphans,
        summary="List daemons of this project that are not its daemon.",
        text="Looked for on the ports from 9400 to 9449 (settings daemon_port_first, daemon_port_end). One is listed "
        "when its answer names both versions and its process, and that process is provably a daemon of this folder "
        "and listens there. Changes nothing. Exit status 3: there are some.",
        examples=("latchboard daemon orphans", "latchboard daemon orphans --json"),
    ),
    Verb(
        "daemon sweep",
        sweep,
        summary="End daemons of this project that are not its daemon.",
        text="Each is asked to end, then sent SIGTERM, then SIGKILL, a second apart; judged anew before each. What "
        "cannot be proven is left, and said. Exit status 1: one is still there.",
        examples=("latchboard daemon sweep",),
        waits=True,
    ),
)
