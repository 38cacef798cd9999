"""Mail: what an agent is told between its calls: who it is, and what others wrote to it.

Whatever others wrote stands between marks and loses what could pretend to be one; a long message is cut, and says how
to read the rest.

Protocol: protocol/editing.md, "News".
"""

from __future__ import annotations

from latchboard.surface.hooks.denial import quoted, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BODY_CHARS_MAX = 3000


def greeting(agent: str) -> str:
    """Who the agent is, and three rules."""
    who = f"--agent {quoted(agent)}"
    return "\n".join(
        [
            f"You share this project with other agents through latchboard. Your agent id is {shown(agent)}.",
            "- Your edits lock their files by themselves and give them back at the end of your turn. An edit that is "
            "denied tells you what to do instead: do not write the file in another way.",
            f"- Before a shell command that writes files: `latchboard check PATH {who}`; who holds what: "
            "`latchboard status`.",
            f'- Mail comes by itself between your calls. Answer with `latchboard send ID "TEXT" {who}`.',
        ]
    )


def told(messages: list[dict[str, Any]], agent: str) -> str:
    """Messages as one text."""
    count = len(messages)
    lines = [f"You have {count} new message{'' if count == 1 else 's'} from other agents, by latchboard:"]
    for message in messages:
        lines += _message(message, agent)
    return "\n".join(lines)


def _message(message: dict[str, Any], agent: str) -> list[str]:
    to_all = ", to everybody" if message.get("broadcast") else ""
    urgent = f", {message['urgency']}" if message["urgency"] in ("high", "urgent") else ""
    subject = f": {shown(message['subject'])}" if message["subject"] else ""
    sender = shown(message["from"])
    who = f"--agent {quoted(agent)}"
    lines = [f"[from {sender}{to_all}{urgent}, {message['sent_at'][:19]}Z, id {message['id']}]{subject}"]
    body = _marked(message["body"])
    lines += body[:_BODY_CHARS_MAX].split("\n")
    if len(body) > _BODY_CHARS_MAX:
        rest = f"latchboard inbox --thread {quoted(message['thread'])} {who}"
        lines.append(f"[... cut here; all of it: `{rest}`]")
    if message["ack"] != "none":
        lines.append(f"[wants to know that you have read it: `latchboard inbox --ack {quoted(message['id'])} {who}`]")
    lines.append("[end of message]")
    return lines


def _marked(body: str) -> str:
    """The text of a message, no line of which looks like one of ours, and without what steers a terminal."""
    kept = "".join(one if one.isprintable() or one == "\n" else " " for one in body.replace("\r\n", "\n"))
    return "\n".join(f" {line}" if line.startswith("[") else line for line in kept.split("\n"))
