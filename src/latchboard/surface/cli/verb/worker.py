"""worker: take jobs of one role, run its command for each, report what came of it; in the foreground.

Protocol: protocol/cli.md, "worker"; protocol/worker.md.
"""

from __future__ import annotations

import os

from latchboard.errors import UsageError
from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, flag, option
from latchboard.surface.cli.verb.serve import occupy_standard_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call


def run(
    call: Call, *, role: str | None, number: int | None, interval: float | None, once: bool, templates: bool
) -> Answer:
    """Work, or show the templates."""
    if templates:
        return _templates(role or "builder")
    if role is None:
        raise UsageError("--role is missing", hint="latchboard worker --role builder")
    if call.named_agent is not None:
        raise UsageError("a worker goes by its own name, worker.ROLE.N", hint="leave --agent out")
    from latchboard.compose import Latchboard, working
    from latchboard.rules.worker import NUMBER_MAX
    from latchboard.worker.service import INTERVAL_S

    if number is not None and number > NUMBER_MAX:
        raise UsageError(f"--number is from 1 to {NUMBER_MAX}, not {number}")
    occupy_standard_descriptors()
    board = Latchboard(call.board.root)  # unlike that of a command it lives long, and publishes what it commits
    try:
        wanted = working.role_of(board.root, role, os.environ)
        facts = working.run(board, wanted, number=number, interval_s=interval or INTERVAL_S, once=once)
    finally:
        board.close()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in facts["counts"].items())
    lines = [f"{facts['worker']}: {counts or facts['refusal'] or 'nothing to do'}"]
    if facts["last"] is not None and facts["last"]["outcome"] == "failed":
        lines.append(f"  what it said: {call.command('queue show', facts['last']['job'], as_agent=False)}")
    return Answer(facts, lines)


def _templates(role: str) -> Answer:
    from latchboard.codec import encode
    from latchboard.rules import worker_role

    worker_role.Role(role, {})
    prompt = worker_role.prompt_of(role)
    found = {name: worker_role.template(name, prompt) for name in worker_role.TEMPLATES}
    lines = ["# put one of these into latchboard.toml: as it is, or by its name", ""]
    for name, words in found.items():
        toml = [f"# [roles.{role}]", f'# template = "{name}"', "#", "# is the same as", f"[roles.{role}]"]
        lines += [*toml, f"command = [{', '.join(map(encode, words))}]", ""]
    return Answer({"role": role, "templates": found}, lines[:-1])


VERBS = (
    Verb(
        "worker",
        run,
        summary="Take jobs of one role, and run its command for each.",
        text="The command stands in latchboard.toml, [roles.ROLE]: command = [...]; without one no worker starts. It "
        "gets the job as JSON on standard input, and AGENT_ID, LATCHBOARD_JOB_ID, LATCHBOARD_TOKEN and more in its "
        "environment. Its exit status says what becomes of the job: 0 is done, everything else failed, unless "
        "exit_codes says otherwise.\n\nSIGTERM, SIGINT and SIGHUP drain: the command is ended, its job goes back into "
        "line, and the worker ends with status 0. Exit status 2: no command for the role. 10: that number runs. 126, "
        "127: the command cannot be started.",
        parameters=(
            option("--role", "ROLE", "Whose jobs it takes."),
            option(
                "--number", "N", "Its number among the role's workers here. Default: the first free.", kind=kind.count
            ),
            option(
                "--interval",
                "SECONDS",
                "Look again after so long, if nothing wakes it before. Default: 5.",
                kind=kind.seconds_above_0,
            ),
            flag("--once", "Make one pass: at most one job, then end."),
            flag("--templates", "Show command lines of coding agents, to be put into latchboard.toml."),
        ),
        examples=(
            "latchboard worker --role builder",
            "latchboard worker --role tester --once --json",
            "latchboard worker --templates --role planner",
        ),
    ),
)
