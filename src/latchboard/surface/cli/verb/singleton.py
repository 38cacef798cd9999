"""singleton: run a command as the only process of an agent type; see who runs; end a registration.

Protocol: protocol/cli.md, "singleton run".
"""

from __future__ import annotations

import logging
import os

from latchboard.errors import CoordinationError, HoldLost, UsageError
from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable, warn
from latchboard.surface.cli.grammar import Verb, argument, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from latchboard.singleton import Registration
    from latchboard.surface.cli.call import Call

TYPE_VARIABLE = "LATCHBOARD_AGENT_TYPE"
# What is logged is told in the verb's own words; without a handler Python would print it a second time.
logging.getLogger("latchboard").addHandler(logging.NullHandler())
_LOOK_S = 10.0
REFUSED = 10


class _Hold:
    """A registration, as the process beside a command looks at it (child.py)."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration

    def is_live(self) -> bool:
        """Whether nobody else can have it by now."""
        return self._registration.is_held()

    def renew(self) -> None:
        """There is no lease to renew; a lost registration is told.

        Raises:
            HoldLost: An operator ended it, another process was forced in, or this one was cut off from the store.
        """
        if not self._registration.is_held():
            raise _lost(self._registration.agent_type)


def _lost(agent_type: str) -> HoldLost:
    return HoldLost(
        f"another process may run as {agent_type}: this registration was ended by force, or by being cut off",
        hint=f"`latchboard singleton status {agent_type}` shows who runs",
        name=agent_type,
    )


def run(call: Call, *, type: str, force: bool, stop_when_lost: bool, command: tuple[str, ...]) -> Answer:
    """Register, run, give back."""
    if not command:
        raise UsageError(
            "no command was given", hint="put it behind --, for example: latchboard singleton run planner -- make"
        )
    registration = call.board.singletons.enforce(type, force=force)
    try:
        call.check_signals()
        if registration.broke is not None and not call.as_json:
            warn(f"latchboard: forced: {_beside(registration.broke)}")
        status, lost = _run(call, registration, command, stop_when_lost)
        lost = lost or _look(call, registration)
    finally:
        registration.release()
    command_status = 128 - status if status < 0 else status
    facts = {
        "agent_type": type,
        "is_restricted": registration.is_restricted,
        "forced_over": registration.broke,
        "command": list(command),
        "command_status": command_status,
        "signal": -status if status < 0 else None,
        "lost": None if lost is None else lost.to_json(),
    }
    return Answer(facts, status=HoldLost.exit_status if lost else command_status)


def _run(
    call: Call, registration: Registration, command: Sequence[str], stop_when_lost: bool
) -> tuple[int, HoldLost | None]:
    from latchboard.surface.cli.child import Beside

    beside = Beside(
        _Hold(registration), _LOOK_S, call.board.clock, lambda exc: _tell(call, exc), stops_when_lost=stop_when_lost
    )
    return beside.run(command, {**os.environ, TYPE_VARIABLE: registration.agent_type}), beside.lost


def _look(call: Call, registration: Registration) -> HoldLost | None:
    """Whether it was lost by the end of the command; where that cannot be seen, its own status counts."""
    try:
        if registration.is_held():
            return None
    except CoordinationError as exc:
        _tell(call, exc)
        return None
    lost = _lost(registration.agent_type)
    _tell(call, lost)
    return lost


def _tell(call: Call, exc: CoordinationError) -> None:
    if not call.as_json:
        warn(f"latchboard: {printable(exc.message)}\n  hint: {printable(exc.hint)}")


def _beside(broke: dict[str, Any]) -> str:
    pid = broke["pid"]
    who = "the process that ran" if pid is None else f"process {pid}"
    end = f"; end it with: kill {pid}" if broke["is_here"] else ""
    return f"{who} goes on as {printable(broke['agent_type'])} without a registration; it was not signalled{end}"


def status(call: Call, *, types: tuple[str, ...]) -> Answer:
    """Who runs; changes nothing."""
    found = call.board.singletons.status(types)
    counts = call.board.singletons.counts()
    facts = [{**one, "counts": counts.get(one["agent_type"])} for one in found]
    lines = [line for one in found for line in _lines(call, one)]
    runs = types and any(one["state"] == "running" for one in found)
    return Answer({"singletons": facts}, lines, status=REFUSED if runs else 0)


def _lines(call: Call, one: dict[str, Any]) -> list[str]:
    name = printable(one["agent_type"])
    if one["state"] == "free":
        return [f"{name}: nobody runs" if one["is_restricted"] else f"{name}: not restricted, any number may run"]
    if one["state"] == "stale":
        clean = call.command("singleton release", one["agent_type"], as_agent=False)
        return [f"{name}: nobody runs; a stale entry: {one['why']}", f"  the next start removes it, or: {clean}"]
    pid = "a process that its entry does not name" if one["pid"] is None else f"process {one['pid']}"
    pid += f" on {printable(one['host_name'])}" if one.get("host_name") else ""
    since = one["started_at"] or one["registered_at"]
    started = f", started {wording.ago(since, call.now)}" if since else ""
    version = f", latchboard {printable(one['version'])}" if one["version"] else ""
    return [f"{name}: {pid} runs{started}{version}"]


def release(call: Call, *, type: str, force: bool) -> Answer:
    """Remove a stale entry; with force, that of a process that runs."""
    before = call.board.singletons.release(type, force=force)
    call.commits = bool(before["released"])
    name = printable(type)
    if not before["released"]:
        lines = [f"nobody runs as {name}, and no entry is left; nothing was changed"]
    elif before["state"] == "stale":
        lines = [f"removed a stale entry of {name}: {before['why']}"]
    else:
        lines = [f"forced: ended the registration of {name}", f"  {_beside(before)}"]
    return Answer({**before, "force": force}, lines)


_TYPE = argument("type", "TYPE")

VERBS = (
    Verb(
        "singleton run",
        run,
        summary="Run a command as the only process of an agent type.",
        text="Usage: latchboard singleton run TYPE [OPTIONS] -- COMMAND [ARGUMENTS]\n\n"
        "TYPE is registered while COMMAND runs, and free as soon as this process has ended, however it ended. Where "
        "another process runs as TYPE, nothing is started: exit status 10, with its process id and since when. Types "
        "that the setting singleton_types does not name are not restricted.\n\n"
        "The exit status is the command's own; 128 + N when it died of signal N; 126 or 127 when it could not be "
        "started; 11 when somebody was forced in beside it, or may have come while it was cut off from the store. "
        "Standard output is the command's alone. COMMAND finds LATCHBOARD_AGENT_TYPE in its environment.",
        parameters=(
            _TYPE,
            flag("--force", "Start also while another process runs; that one goes on, and is named."),
            flag("--stop-when-lost", "Send the command SIGTERM when another one was forced in; it goes on otherwise."),
        ),
        examples=("latchboard singleton run code_developer -- python -m my_agent",),
        changes=True,
        waits=True,
        has_command=True,
    ),
    Verb(
        "singleton status",
        status,
        summary="Show which agent types run, as which process, since when.",
        text="Without TYPE: all that are configured, and all that left an entry. Exit status 0; with TYPE, 10 when a "
        "process runs.",
        parameters=(argument("types", "[TYPE...]", count="any"),),
        examples=("latchboard singleton status", "latchboard singleton status code_developer --json"),
    ),
    Verb(
        "singleton release",
        release,
        summary="Remove a stale entry; with --force, end a registration.",
        text="A stale entry is in nobody's way: the next start removes it. Exit status 10: a process runs. With "
        "--force its registration is ended and another one can start; the process itself is not signalled, and goes "
        "on. It is counted, logged and told.",
        parameters=(_TYPE, flag("--force", "End the registration of a process that runs.")),
        examples=("latchboard singleton release code_developer --force",),
        changes=True,
    ),
)
