"""inbox: what waits for an agent; taken, looked at, acknowledged, or a whole thread.

Protocol: protocol/cli.md, "inbox".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable, printable_block, warn
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.mailbox import Inbox
    from latchboard.surface.cli.call import Call


def run(call: Call, *, peek: bool, ack: str | None, thread: str | None, limit: int | None) -> Answer:
    """Do one of the four."""
    if sum((peek, ack is not None, thread is not None)) > 1:
        raise UsageError("--peek, --ack and --thread exclude each other", hint="use one of them at a time")
    if limit is not None and (ack is not None or thread is not None):
        raise UsageError("--limit goes with neither --ack nor --thread", hint="leave it out")
    agent, mailbox = call.agent, call.board.mailbox
    if ack is not None:
        return _acknowledged(agent, ack, done=mailbox.ack(agent, ack))
    call.commits = not peek and thread is None
    if thread is not None:
        found = mailbox.thread(agent, thread)
    elif peek:
        found = mailbox.peek(agent, limit=limit)
    else:
        found = mailbox.receive(agent, limit=limit)
    facts = found.to_json()
    facts.pop("format")
    if call.as_json:
        return Answer({"agent": agent, **facts})
    for error in found.damaged:
        warn(f"latchboard: {printable(error.message)}")
    return Answer({}, _lines(call, agent, found))


def _acknowledged(agent: str, message_id: str, *, done: bool) -> Answer:
    what = "acknowledged" if done else "had nothing to acknowledge in"
    facts = {"agent": agent, "id": message_id, "acked": done}
    return Answer(facts, [f"{printable(agent)} {what} {printable(message_id)}"])


def _lines(call: Call, agent: str, found: Inbox) -> list[str]:
    lines: list[str] = []
    for message in found:
        if lines:
            lines.append("")
        lines += _message(call, agent, message)
    if found.left_count:
        lines.append(f"{found.left_count} more: {call.command('inbox')}")
    return lines or [f"nothing for {printable(agent)}"]


def _message(call: Call, agent: str, message: dict[str, Any]) -> list[str]:
    to = "everybody" if message["to"] is None or message.get("broadcast") else printable(message["to"])
    urgency = "" if message["urgency"] == "normal" else f"  {message['urgency'].upper()}"
    again = "  (again)" if message.get("redelivered") else ""
    lines = [
        f"{printable(message['from'])} to {to}, {wording.ago(message['sent_at'], call.now)}{urgency}{again}",
        f"  id {message['id']}" + (f", thread {printable(message['thread'])}" if message["reply_to"] else ""),
    ]
    if message["subject"]:
        lines.append(f"  subject: {printable(message['subject'])}")
    lines += [f"  | {line}" for line in printable_block(message["body"])]
    if message["ack"] == "required" and message["to"] == agent and not message.get("acked_at"):
        by = f" by {wording.moment(message['ack_by_at'], call.now)}" if message["ack_by_at"] else ""
        lines.append(f"  acknowledge it{by}: {call.command('inbox', '--ack', message['id'])}")
    return lines


VERBS = (
    Verb(
        "inbox",
        run,
        summary="Take the messages that wait for an agent.",
        text="A message is delivered once; one that demands an acknowledgement comes again until it gets it. What was "
        "taken is kept for a week: --thread shows it.",
        parameters=(
            flag("--peek", "Look, and take nothing."),
            option("--ack", "ID", "Acknowledge a message."),
            option("--thread", "ID", "Show both sides of a conversation, and take nothing."),
            option("--limit", "NUMBER", "At most so many messages.", kind=kind.count),
        ),
        examples=("latchboard inbox --agent planner", "latchboard inbox --agent planner --peek --json"),
        changes=True,
    ),
)
