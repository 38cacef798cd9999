"""send: a message to one agent, or to all of them.

Protocol: protocol/cli.md, "send".
"""

from __future__ import annotations

import sys

from latchboard.errors import UsageError
from latchboard.surface.cli import kind, wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, argument, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.surface.cli.call import Call

URGENCIES = ("low", "normal", "high", "urgent")


def run(call: Call, *, words: tuple[str, ...], all: bool, ack: bool, ack_by_s: float | None, **options: Any) -> Answer:
    """Send, and say under which id."""
    if len(words) != (1 if all else 2):
        takes = "--all takes the body alone" if all else "send takes TO and BODY"
        raise UsageError(
            f"{takes}, not {wording.plural(len(words), 'word')}",
            hint="put the body into quotes, or give - and write it to standard input",
        )
    agent, mailbox = call.agent, call.board.mailbox
    body = _read_stdin(call.board.settings.body_bytes_max) if words[-1] == "-" else words[-1]
    demand: dict[str, Any] = {"ack": "required" if ack or ack_by_s is not None else "none", "ack_by_s": ack_by_s}
    if all:
        message = mailbox.broadcast(agent, body, **demand, **options)
    else:
        message = mailbox.send(agent, words[0], body, **demand, **options)
    return Answer({"message": message}, _lines(call, message))


def _lines(call: Call, message: dict[str, Any]) -> list[str]:
    to = "everybody" if message["to"] is None else printable(message["to"])
    lines = [f"{printable(message['from'])} sent {message['id']} to {to}"]
    if message["thread"] != message["id"]:
        lines.append(f"  in the thread {printable(message['thread'])}")
    if message["ack"] == "required":
        by = f" by {wording.moment(message['ack_by_at'], call.now)}" if message["ack_by_at"] else ""
        lines.append(f"  to be acknowledged{by}")
    if message["expires_at"]:
        lines.append(f"  not delivered after {wording.moment(message['expires_at'], call.now)}")
    return lines


def _read_stdin(bytes_max: int) -> str:
    """The body from standard input, without its last line end."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="give the body as a word")
    try:
        data = sys.stdin.buffer.read(bytes_max + 2)
    except (OSError, ValueError) as exc:
        raise UsageError(f"cannot read the body from standard input: {exc}") from exc
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        if len(data) > bytes_max:  # cut within a character; the service says that it is too long
            return data.decode("utf-8", "replace")
        raise UsageError(
            f"the body on standard input is no UTF-8: byte {exc.start}", hint="iconv -t utf-8 converts it"
        ) from exc
    return text.removesuffix("\n").removesuffix("\r")


VERBS = (
    Verb(
        "send",
        run,
        summary="Send a message to an agent, or with --all to every agent.",
        text="Usage: latchboard send TO BODY, or latchboard send --all BODY\n\nBODY - is read from standard input. The "
        "agent need not exist yet: the message waits for it. It is on the disk when this command returns.",
        parameters=(
            argument("words", "[TO] BODY", count="some"),
            flag("--all", "To every agent, also those that first read later, until it expires."),
            option("--subject", "TEXT", "One line, at most 200 characters.", default=""),
            option("--urgency", "WORD", "For the reader.", default="normal", choices=URGENCIES),
            flag("--ack", "Deliver it again and again until it is acknowledged."),
            option("--ack-by-s", "SECONDS", "As --ack, with a deadline.", kind=kind.seconds_above_0),
            option("--expires-s", "SECONDS", "Not delivered later than this.", kind=kind.seconds_above_0),
            option("--reply-to", "ID", "Answer this message, in its thread."),
            option("--thread", "ID", "Part of this thread."),
        ),
        examples=(
            'latchboard send builder "src/a.py is yours" --agent planner',
            "make test 2>&1 | latchboard send planner - --agent builder --subject 'the tests' --urgency high",
            'latchboard send --all "main is frozen until noon" --agent operator --ack-by-s 600',
        ),
        changes=True,
    ),
)
