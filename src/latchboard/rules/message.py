"""Message: what may be sent; pure. Whatever is refused here was never accepted, and nothing has changed.

Protocol: protocol/mailbox.md, "Send".
"""

from __future__ import annotations

from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URGENCIES = ("low", "normal", "high", "urgent")
ACKS = ("none", "required")
ID_LENGTH_MAX = 200
SUBJECT_LENGTH_MAX = 200
TIME_S_MAX = 1e9


def is_id(value: object) -> bool:
    """Whether `value` can be the id of a message: 1 to 200 printable characters without blanks or slashes.

    With a slash in it, an id could name a message in the mailbox of another agent.
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= ID_LENGTH_MAX
        and value.isprintable()
        and "/" not in value
        and " " not in value
    )


def check_id(value: object) -> str:
    """The id, if it can be one. Raises UsageError."""
    if not is_id(value):
        raise UsageError(
            f"{value!r:.80} cannot be the id of a message",
            hint="`latchboard inbox` shows the ids of messages",
        )
    return str(value)


def check_draft(draft: dict[str, Any], body_bytes_max: int) -> None:
    """Refuse what cannot be sent.

    Args:
        draft: `body` and the options of `compose`: subject, thread, reply_to, urgency, ack, ack_by_s, expires_s.
        body_bytes_max: Longest body in UTF-8, bytes.

    Raises:
        UsageError: Says what is wrong with it.
    """
    _check_text("body", draft["body"])
    if (size := len(draft["body"].encode())) > body_bytes_max:
        raise UsageError(
            f"the body of the message has {size} bytes; the most is {body_bytes_max}",
            hint="put it into a file and send the path",
            body_bytes=size,
            body_bytes_max=body_bytes_max,
        )
    _check_text("subject", draft["subject"])
    if len(draft["subject"]) > SUBJECT_LENGTH_MAX:
        raise UsageError(f"a subject has at most {SUBJECT_LENGTH_MAX} characters", hint="put the rest into the body")
    if draft["thread"] is not None and not is_id(draft["thread"]):
        raise UsageError(f"{draft['thread']!r:.80} cannot be the id of a thread", hint="letters, digits, `-`, `_`, `.`")
    if draft["reply_to"] is not None:
        check_id(draft["reply_to"])
    _check_word("urgency", draft["urgency"], URGENCIES)
    _check_word("ack", draft["ack"], ACKS)
    for name in ("ack_by_s", "expires_s"):
        _check_time(name, draft[name])
    if draft["ack_by_s"] is not None and draft["ack"] == "none":
        raise UsageError("ack_by_s without ack", hint="a deadline needs ack='required'")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"the {name} of a message is text, not {type(value).__name__}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise UsageError(
                f"the {name} of the message has a lone surrogate at character {exc.start}: UTF-8 cannot write it",
                hint="decode the bytes it came from with errors='replace'",
            ) from exc


def _check_word(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name} is one of {', '.join(known)}, not {value!r:.80}")


def _check_time(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= TIME_S_MAX:
        raise UsageError(f"{name} is a number of seconds above zero and at most {TIME_S_MAX:g}, not {value!r:.80}")
