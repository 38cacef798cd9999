"""run: hold locks while a command runs; bound to this process, so that they end with it.

Protocol: protocol/cli.md, "run".
"""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError, HoldLost, UsageError
from latchboard.surface.cli import asking, option
from latchboard.surface.cli.answer import Answer, warn
from latchboard.surface.cli.call import TOKEN_VARIABLE
from latchboard.surface.cli.grammar import Verb, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.locks.hold import Hold
    from latchboard.surface.cli.call import Call


def run(  # noqa: PLR0913 - the options of the verb
    call: Call,
    *,
    paths: tuple[str, ...],
    shared: bool,
    glob: bool,
    wait_s_max: float,
    ttl_s: float | None,
    reason: str,
    stop_when_lost: bool,
    command: tuple[str, ...],
) -> Answer:
    """Lock, run, unlock."""
    if not command:
        raise UsageError(
            "no command was given", hint="put it behind --, for example: latchboard run src/a.py -- make test"
        )
    agent, locks = call.agent, call.board.locks
    asked = call.paths(paths, is_glob=glob)
    request = locks.request(agent, asked, shared=shared, ttl_s=ttl_s, reason=reason or " ".join(command)[:200])
    hold = asking.before_waiting(call, request, wait_s_max) or locks.acquire(request, wait_s_max=wait_s_max)
    try:
        call.check_signals()
        asking.note_outside(call, hold.names)
        call.publish(now=True)  # what it says will be true for long
        status, lost = _run(call, hold, request.ttl_s, command, stop_when_lost)
    except BaseException:
        hold.release()
        raise
    if not hold.release() and lost is None:
        lost = HoldLost(
            f"{agent} lost {', '.join(hold.names)} before the command ended",
            hint="somebody else may have changed the files meanwhile: look at them again",
            names=hold.names,
        )
        _tell(call, lost)
    command_status = 128 - status if status < 0 else status
    facts = {
        "agent": agent,
        "locks": [{"name": name, "token": token} for name, token in hold.tokens.items()],
        "command": list(command),
        "command_status": command_status,
        "signal": -status if status < 0 else None,
        "waited_s": round(hold.waited_s, 3),
        "lost": None if lost is None else lost.to_json(),
    }
    return Answer(facts, status=HoldLost.exit_status if lost else command_status)


def _run(
    call: Call, hold: Hold, ttl_s: float, command: Sequence[str], stop_when_lost: bool
) -> tuple[int, HoldLost | None]:
    from latchboard.surface.cli.child import Beside

    beside = Beside(hold, ttl_s, call.board.clock, lambda exc: _tell(call, exc), stops_when_lost=stop_when_lost)
    environment = {**os.environ, "AGENT_ID": hold.agent, TOKEN_VARIABLE: str(hold.token)}
    return beside.run(command, environment), beside.lost


def _tell(call: Call, exc: CoordinationError) -> None:
    """While the command runs: on standard error, at once. With --json the final answer says it."""
    from latchboard.surface.cli.answer import printable

    if not call.as_json:
        warn(f"latchboard: {printable(exc.message)}")
        if exc.hint:
            warn(f"  hint: {printable(exc.hint)}")


VERBS = (
    Verb(
        "run",
        run,
        summary="Hold locks while a command runs.",
        text="Usage: latchboard run PATH... [OPTIONS] -- COMMAND [ARGUMENTS]\n\n"
        "The locks are bound to this process: they end with it, however it ends. They are renewed while the command "
        "runs. The command finds AGENT_ID and LATCHBOARD_TOKEN in its environment; signals are passed on to it.\n\n"
        "The exit status is the command's own; 128 + N when it died of signal N; 126 or 127 when it could not be "
        "started; 11 when the locks were lost before it ended. Standard output is the command's alone: what run has "
        "to say, --json or not, is on standard error.\n\n"
        f"{option.PATHS_TEXT}",
        parameters=(
            option.PATHS,
            option.SHARED,
            option.GLOB,
            option.WAIT,
            option.TTL,
            option.REASON,
            flag("--stop-when-lost", "Send the command SIGTERM when the locks are lost; it goes on otherwise."),
        ),
        examples=(
            "latchboard run src/a.py --agent builder -- make test",
            "latchboard run src/ --agent builder --wait-s-max 300 -- sh -c 'black src && git commit -am black'",
        ),
        changes=True,
        waits=True,
        has_command=True,
    ),
)
