"""agents start, stop, restart, status: the project's workers in the background.

Protocol: protocol/cli.md, "agents start"; protocol/supervision.md.
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, option
from latchboard.surface.cli.table import table
from latchboard.surface.cli.verb.daemon import FINDINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.supervision.looking import Report
    from latchboard.surface.cli.call import Call

_HEADINGS = ("role", "worker", "state", "pid", "job", "since", "deaths", "last end")


def start(call: Call, *, role: tuple[str, ...], count: int | None) -> Answer:
    """See to it that they run."""
    return _brought(call, call.board.agents.start(role, count=count))


def restart(call: Call, *, role: tuple[str, ...], count: int | None) -> Answer:
    """End those that run, and start them."""
    return _brought(call, call.board.agents.start(role, count=count, is_restart=True))


def _brought(call: Call, report: Report) -> Answer:
    """0: as many as are wanted are registered, or none is wanted at all."""
    is_short = any(one["registered"] < one["wanted"] for one in report.roles)
    lines = _lines(call, report)
    if is_short:
        lines.append(f"not all of them run; what they said: {printable(call.board.root)}/data/.agent_pids/agents.log")
    return Answer(_facts(call, report), lines, status=1 if is_short else 0)


def stop(call: Call, *, role: tuple[str, ...]) -> Answer:
    """End them."""
    call.do_without_settings()
    report = call.board.agents.stop(role)
    lines = _lines(call, report)
    if report.left:
        pids = ", ".join(str(one["pid"]) for one in report.left)
        lines.append(f"still there: process {pids}")
    beside = [one for one in report.workers if not one["is_supervised"]]
    if beside:
        pids = ", ".join(str(one["pid"]) for one in beside)
        lines.append(f"run by hand or by a service manager, and left alone: process {pids}")
    return Answer(_facts(call, report), lines, status=1 if report.left else 0)


def status(call: Call, *, role: tuple[str, ...]) -> Answer:
    """Tell how they stand."""
    report = call.board.agents.look(role)
    return Answer(_facts(call, report), _lines(call, report), status=0 if report.is_as_wanted else FINDINGS)


def _facts(call: Call, report: Report) -> dict[str, Any]:
    return {"root": call.board.root, **report.to_json()}


def _lines(call: Call, report: Report) -> list[str]:
    who = f"process {report.supervisor}" if report.supervisor is not None else "none"
    rows = []
    for one in report.roles:
        workers = [worker for worker in report.workers if worker["role"] == one["role"]]
        rows += [_row(worker, call) for worker in workers]
        if not workers:
            state = "stopped" if one["is_configured"] else "not configured"
            rows.append((printable(one["role"]), "", state, "", "", "", "", ""))
    trouble = [f"their jobs are not known: {printable(report.trouble)}"] if report.trouble else []
    return [f"supervisor: {who}", *table("Workers", _HEADINGS, rows, gives=("since",), cuts=("job",)), *trouble]


def _row(worker: dict[str, Any], call: Call) -> tuple[str, ...]:
    state = worker["state"] if worker["is_supervised"] else f"{worker['state']}, not supervised"
    since = worker["since"] if isinstance(worker["since"], str) else ""
    number, named = str(worker["number"]), worker["name"].rpartition(".")[2]
    return (
        printable(worker["role"]),
        number if named == number else f"{number}, as {named}",
        state,
        str(worker["pid"] or ""),
        printable(worker["job"] or ""),
        wording.age(since, call.now) if since else "",
        str(worker["deaths"] or ""),
        _end(worker),
    )


def _end(worker: dict[str, Any]) -> str:
    """How the one before it ended."""
    last = worker["last"]
    if worker["why"]:
        return printable(worker["why"])
    if last is None:
        return ""
    if last["signal"] is not None:
        return f"signal {last['signal']}"
    return "unknown" if last["status"] is None else f"status {last['status']}"


def _count(word: str) -> int:
    from latchboard.rules.supervision import COUNT_MAX
    from latchboard.surface.cli import kind

    value = kind.number(word)
    if value > COUNT_MAX:
        raise ValueError(f"{word!r} is no number from 0 to {COUNT_MAX}")
    return value


_ROLE = argument("role", "[ROLE]...", count="any")
_COUNT = option("--count", "N", "How many of each role. Default: `workers` of [roles.ROLE], else 1.", kind=_count)

VERBS = (
    Verb(
        "agents start",
        start,
        summary="Keep workers of these roles running, in the background.",
        text="Of each role in latchboard.toml when none is named. What runs already stays. A supervisor keeps them: "
        "one that dies is started again, later each time. Waits until each is ready, or has died.\n\nExit status 0: "
        "all run; 1: not all of them; 2: a role has no command, and nothing was changed.",
        parameters=(_ROLE, _COUNT),
        examples=("latchboard agents start", "latchboard agents start builder --count 3"),
    ),
    Verb(
        "agents stop",
        stop,
        summary="End the workers of these roles, and give their jobs back.",
        text="Of all roles when none is named. Each gets the time that its role needs to drain, before it is killed. "
        "The supervisor ends with the last worker. Workers that run by hand or under a service manager are left alone. "
        "A mistake in latchboard.toml is in nobody's way."
        "\n\nExit status 0: they are gone; 1: one is still there.",
        parameters=(_ROLE,),
        examples=("latchboard agents stop", "latchboard agents stop builder"),
    ),
    Verb(
        "agents restart",
        restart,
        summary="End the workers of these roles, and start them anew.",
        text="Of each role in latchboard.toml when none is named; as `agents stop` and `agents start` of these roles, "
        "and of no others.",
        parameters=(_ROLE, _COUNT),
        examples=("latchboard agents restart tester",),
    ),
    Verb(
        "agents status",
        status,
        summary="Show the workers: state, process, job, deaths, how the one before ended.",
        text="Changes nothing.\n\nExit status 0: workers are wanted, and as many run; 3: fewer run, or none is wanted.",
        parameters=(_ROLE,),
        examples=("latchboard agents status", "latchboard agents status builder --json"),
    ),
)
