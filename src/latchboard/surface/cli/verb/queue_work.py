"""queue claim, renew, complete, fail, release: what whoever works on jobs does.

Protocol: protocol/cli.md, "queue claim".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.cli import kind
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Parameter, Verb, argument, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call


def read_json(name: str, text: str | None) -> Any:
    """The value of an option that takes JSON; None where it is not given. Raises UsageError."""
    from latchboard.codec import decode

    if text is None:
        return None
    try:
        found = decode(f'{{"value":{text}}}')
    except ValueError as exc:
        raise UsageError(f"--{name} is no JSON ({exc}): {text!r:.80}", hint="put it into single quotes") from exc
    if list(found) != ["value"]:
        raise UsageError(f"--{name} is no JSON: {text!r:.80}", hint="put it into single quotes")
    return found["value"]


def told(job: dict[str, Any]) -> str:
    """One line about a job that has just changed."""
    wait = f"; not before {job['ready_at']}" if job["ready_at"] is not None else ""
    return f"{job['id']} is {job['status']}{wait}"


def claim(call: Call, *, role: str, job: str | None, ttl_s: float | None) -> Answer:
    """Take a job."""
    call.pick_up_edits()
    found = call.board.queue.claim(role, call.agent, job=job, ttl_s=ttl_s)
    call.commits = True
    one, lease = found["job"], found["lease"]
    lines = [f"{printable(call.agent)} claimed {one['id']}: {printable(one['title'])}", f"  token {lease['token']}"]
    lines += [f"  holds {printable(name)}" for name in lease.get("locks", {})]
    return Answer({"job": one, "lease": lease}, lines)


def renew(call: Call, *, job: str, token: int | None) -> Answer:
    """Start the lease anew."""
    lease = call.board.queue.renew(job, _shown(token))
    call.commits = True
    return Answer({"lease": lease}, [f"{job}: renewed for {lease['ttl_seconds']:g} s"])


def complete(call: Call, *, job: str, token: int | None, result: str | None, to: str | None) -> Answer:
    """The work is done."""
    value = read_json("result", result)
    return _answer(call, call.board.queue.complete(job, _shown(token), result=value, to=to))


def fail(call: Call, *, job: str, token: int | None, error: str, final: bool) -> Answer:
    """An attempt failed."""
    return _answer(call, call.board.queue.fail(job, _shown(token), error=error, is_final=final))


def release(call: Call, *, job: str, token: int | None) -> Answer:
    """Give it back undone."""
    return _answer(call, call.board.queue.release(job, _shown(token)))


def _answer(call: Call, job: Any) -> Answer:
    call.commits = True
    already = job.pop("already", False)
    return Answer({"job": job, "already": already}, [f"{told(job)}{' already' if already else ''}"])


def _shown(token: int | None) -> int:
    if token is None:
        raise UsageError("no token was given", hint="give --token, as `latchboard queue claim` told it")
    return token


def _token() -> Parameter:
    return option("--token", "TOKEN", "The token of the claim.", kind=kind.count)


_JOB = argument("job", "JOB")

VERBS = (
    Verb(
        "queue claim",
        claim,
        summary="Take the first ready job of a role, with the locks of its files.",
        text="Exit status 10: none is ready, or as many are in progress as may be. The claim ends after its lease time "
        "unless it is renewed; whoever claims next brings the job back into line.",
        parameters=(
            argument("role", "ROLE"),
            option("--job", "JOB", "This job alone."),
            option("--ttl-s", "SECONDS", "Lease time. Default: 5400.", kind=kind.seconds_above_0),
        ),
        examples=("latchboard queue claim builder --agent b1", "latchboard queue claim tester --job job-7 --agent t1"),
        changes=True,
    ),
    Verb(
        "queue renew",
        renew,
        summary="Start the lease of a claim anew, and that of its locks.",
        text="Exit status 11: the claim has ended; stop working on the job.",
        parameters=(_JOB, _token()),
        examples=("latchboard queue renew job-7 --token 1795229464990001",),
        changes=True,
    ),
    Verb(
        "queue complete",
        complete,
        summary="Say that the work of a claim is done.",
        text="The job goes to the next role that was named when it was added, or is done. Exit status 10: a sub-task "
        "is not done. 11: the claim has ended, and nothing was changed.",
        parameters=(
            _JOB,
            _token(),
            option("--result", "JSON", "What came of it, at most 64 KiB."),
            option("--to", "STATUS", "What it shall become, such as needs_adapt."),
        ),
        examples=('latchboard queue complete job-7 --token 1795229464990001 --result \'{"commit": "abc"}\'',),
        changes=True,
    ),
    Verb(
        "queue fail",
        fail,
        summary="Say that an attempt failed.",
        text="The job comes back into line after a pause that doubles, or is dead when its attempts are used up. Exit "
        "status 11: the claim has ended.",
        parameters=(
            _JOB,
            _token(),
            option("--error", "TEXT", "What went wrong.", default=""),
            flag("--final", "It need not be tried again."),
        ),
        examples=("latchboard queue fail job-7 --token 1795229464990001 --error 'make: Error 1'",),
        changes=True,
    ),
    Verb(
        "queue release",
        release,
        summary="Give a job back undone; the attempt does not count.",
        text="Exit status 11: the claim has ended.",
        parameters=(_JOB, _token()),
        examples=("latchboard queue release job-7 --token 1795229464990001",),
        changes=True,
    ),
)
