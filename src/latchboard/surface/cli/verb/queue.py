"""queue add, list, show, retry, cancel, block, stats: what whoever fills and looks after the queue does.

Protocol: protocol/cli.md, "queue add".
"""

from __future__ import annotations

from latchboard.codec import encode, sayable
from latchboard.rules.workqueue import with_article
from latchboard.rules.workqueue_lease import remaining_s
from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, option, options
from latchboard.surface.cli.table import Tables
from latchboard.surface.cli.verb.queue_work import read_json, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now
    from latchboard.surface.cli.call import Call

_DATA_CHARS_MAX = 300
_EVENT = {"blocked": "unblock", "planning_complete": "accept"}


def add(call: Call, *, role: str, title: str, payload: str | None, after: tuple[str, ...], **said: Any) -> Answer:
    """Put a job into the queue."""
    draft = {"role": role, "title": title, "dependencies": list(after), "payload": read_json("payload", payload)}
    draft["files"] = list(said.pop("file"))
    draft["then"] = list(said.pop("then"))
    draft |= {name: value for name, value in said.items() if value is not None}
    job = call.board.queue.submit([draft], by=call.agent)[0]
    call.commits = True
    waits = f"; it waits for {', '.join(job['waits_for'])}" if job["waits_for"] else ""
    for_whom = with_article(job["role"])
    return Answer({"job": job}, [f"added {job['id']}, {job['status']} for {for_whom}{waits}"])


def listed(call: Call, *, status: str | None, role: str | None) -> Answer:
    """The jobs, as they would be claimed."""
    look = call.board.queue.look()
    found = look.listed(status=status, role=role, owner=call.named_agent)
    damaged = [exc.fields["key"] for exc in look.damaged]
    facts = {"jobs": found, "damaged": damaged, "revision": look.revision}
    rows = []
    for job in found:
        lease = look.active.get(job["id"])
        with_whom = printable(lease["owner"]) if lease else ", ".join(job["waits_for"]) or job["ready_at"] or ""
        rows.append((job["id"], job["status"], job["role"], str(job["priority"]), printable(job["title"]), with_whom))
    headings = ("job", "status", "role", "priority", "title", "owner, or waits for")
    shown = Tables()  # a title says more than a role, which the status says mostly
    shown.add("Jobs", headings, rows, gives=("role", "priority", "owner, or waits for", "title"), cuts=("job",))
    lines = shown.lines + [f"cannot be read: {printable(key)}" for key in damaged]
    if shown.is_cut:
        lines += ["", f"cut to fit; all of it: {call.command('queue list', as_agent=False)} | less -S"]
    return Answer(facts, lines or ["no such job is in the queue"])


def show(call: Call, *, job: str) -> Answer:
    """One job with its claim and its attempts."""
    found = call.board.queue.show(job)
    one, lease = found["job"], found["lease"]
    then = f", then {', '.join(one['then'])}" if one["then"] else ""
    lines = [f"{told(one)}: {printable(one['title'])}", f"  role {one['role']}{then}, priority {one['priority']}"]
    if one.get("reason"):
        lines.append(f"  because: {printable(one['reason'])}")
    if lease is not None:
        lines += _claimed(lease, call.now)
    if one["waits_for"]:
        lines.append(f"  waits for {', '.join(one['waits_for'])}")
    lines += [f"  file {printable(name)}" for name in one["files"]]
    if found["place"] is not None:
        behind = ", ".join(dict.fromkeys(printable(str(by.get("agent"))) for by in found["place"]["blocked_by"]))
        lines.append("  stands in line for its files" + (f", behind {behind}" if behind else ""))
    lines += [f"  {name}: {_short(one[name])}" for name in ("payload", "result") if one[name] is not None]
    for attempt in one["attempts"]:
        error = f": {printable(attempt['error'])}" if "error" in attempt else ""
        when, who = attempt.get("ended_at", "?"), attempt.get("owner", "?")  # another writer may leave them out
        lines.append(f"  {printable(when)} {printable(attempt['outcome'])} by {printable(who)}{error}")
    return Answer(found, lines)


def _claimed(lease: Any, now: Now) -> list[str]:
    """Who works on it, since when, and until when."""
    left_s = remaining_s(lease, now)
    until = (
        f"until {wording.ahead(left_s, now)} unless renewed"
        if left_s > 0
        else "its lease is over: the next claim ends it"
    )
    since = wording.ago(lease["started_at"], now)
    return [f"  {printable(lease['owner'])} works on it since {since}, {until}", f"  token {lease['token']}"]


def _short(value: Any) -> str:
    """JSON on one line, as much of it as one reads; `--json` has the whole."""
    text = encode({"": sayable(value)})[4:-1]
    return printable(text if len(text) <= _DATA_CHARS_MAX else f"{text[:_DATA_CHARS_MAX]}...")


def retry(call: Call, *, job: str) -> Answer:
    """Bring it back into line."""
    status = call.board.queue.show(job)["job"]["status"]
    change: Any = getattr(call.board.queue, _EVENT.get(status, "requeue"))
    after = change(job, by=call.agent)
    call.commits = True
    return Answer({"job": after}, [told(after)])


def cancel(call: Call, *, job: str, reason: str) -> Answer:
    """It shall not be done."""
    after: Any = call.board.queue.cancel(job, by=call.agent, reason=reason)
    call.commits = True
    return Answer({"job": after}, [told(after)])


def block(call: Call, *, job: str, reason: str) -> Answer:
    """It shall not be done now."""
    after: Any = call.board.queue.block(job, by=call.agent, reason=reason)
    call.commits = True
    return Answer({"job": after}, [told(after)])


def stats(call: Call) -> Answer:
    """How many there are of each."""
    facts = call.board.queue.look().stats(call.now)
    lines = [f"{count} {status}" for status, count in facts["by_status"].items()]
    for role, counts in facts["roles"].items():
        lines.append(f"{role}: {counts['in_progress']} of {counts['limit']} in progress, {counts['ready']} ready")
    lines += [f"{one['job']} is stuck: {one['waits_for']} is {one['status']}" for one in facts["stuck"]]
    return Answer(facts, lines or ["the queue is empty"])


_JOB = argument("job", "JOB")
_REASON = option("--reason", "TEXT", "Why; it is kept with the job.", default="")

VERBS = (
    Verb(
        "queue add",
        add,
        summary="Put a job into the queue.",
        text="ROLE is planner, builder, tester, refiner, integrator, or any other word. A circle of jobs that wait for "
        "each other is refused.",
        parameters=(
            argument("role", "ROLE"),
            argument("title", "TITLE"),
            option("--id", "ID", "Its id. Default: job-<number>."),
            option("--priority", "N", "The lowest goes first. Default: 50.", kind=kind.number),
            options("--after", "JOB", "A job that must be done before."),
            option("--parent", "JOB", "The job that this one is a part of, and that waits for it."),
            options("--file", "PATH", "A file that it edits: the claim takes its lock."),
            options("--then", "ROLE", "Who gets it afterwards, in order."),
            option("--attempts-max", "N", "Attempts before it is dead. Default: 3.", kind=kind.count),
            option("--payload", "JSON", "What whoever works on it needs to know, at most 64 KiB."),
            option("--ready-at", "TIME", "Not to be claimed before."),
        ),
        examples=("latchboard queue add builder 'Build the parser' --file src/parser.py --then tester --agent lead",),
        changes=True,
    ),
    Verb(
        "queue list",
        listed,
        summary="List jobs in the order in which they are claimed.",
        text="--agent shows what that agent has claimed.",
        parameters=(
            option("--status", "STATUS", "Only these, such as dead."),
            option("--role", "ROLE", "Only those of this role."),
        ),
        examples=("latchboard queue list", "latchboard queue list --status dead --json"),
    ),
    Verb(
        "queue show",
        show,
        summary="Show one job: its claim, what it waits for, every attempt with its error.",
        parameters=(_JOB,),
        examples=("latchboard queue show job-7",),
    ),
    Verb(
        "queue retry",
        retry,
        summary="Bring a dead, cancelled or blocked job back into line; accept a plan.",
        text="It has all of its attempts anew. Exit status 10: it is none of these.",
        parameters=(_JOB,),
        examples=("latchboard queue retry job-7 --agent lead",),
        changes=True,
    ),
    Verb(
        "queue cancel",
        cancel,
        summary="Say that a job shall not be done; whoever works on it is refused from then on.",
        text="Exit status 10: it is done or cancelled.",
        parameters=(_JOB, _REASON),
        examples=("latchboard queue cancel job-7 --reason 'not needed' --agent lead",),
        changes=True,
    ),
    Verb(
        "queue block",
        block,
        summary="Take a job out of line until `queue retry`.",
        text="Exit status 10: it is done, dead, cancelled or blocked.",
        parameters=(_JOB, _REASON),
        examples=("latchboard queue block job-7 --reason 'waits for a decision' --agent lead",),
        changes=True,
    ),
    Verb(
        "queue stats",
        stats,
        summary="Count jobs by status and role, with the limits, and what is stuck.",
        examples=("latchboard queue stats",),
    ),
)
