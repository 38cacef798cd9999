"""Payload: the fields that clients send, read with one rule, and text made fit to be sent back.

A field that is missing or null is empty; one of another type than its client promises is a mistake, and is named.
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.surface.hooks.event import agent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def text(payload: Mapping[str, Any], field: str) -> str:
    """A text; empty where it is missing or null.

    Raises:
        UsageError: It is something else.
    """
    value = payload.get(field)
    if value is None:
        return ""
    if type(value) is not str:
        raise UsageError(f"the field `{field}` of a hook's input is a text, not {_kind(value)}")
    return value


def table(payload: Mapping[str, Any], field: str) -> dict[str, Any]:
    """An object; empty where it is missing or null.

    Raises:
        UsageError: It is something else.
    """
    value = payload.get(field)
    if value is None:
        return {}
    if type(value) is not dict:
        raise UsageError(f"the field `{field}` of a hook's input is an object, not {_kind(value)}")
    return value


def event_name(payload: Mapping[str, Any]) -> str:
    """The client's name for the event.

    Raises:
        UsageError: There is none.
    """
    name = text(payload, "hook_event_name")
    if not name:
        raise UsageError("a hook's input has no `hook_event_name`")
    return name


def known_agent(session: str, subagent: str, environ: Mapping[str, str]) -> str:
    """The agent id.

    Raises:
        UsageError: Neither a session nor AGENT_ID says who it is.
    """
    agent = agent_of(session, subagent, environ)
    if not agent:
        raise UsageError("its session id is empty and AGENT_ID is not set: nobody knows who the agent is")
    return agent


def joined(folder: str, path: str) -> str:
    """`path` as it is seen from where `folder` is seen from."""
    if not path or path.startswith("/") or not folder:
        return path or folder
    return f"{folder.rstrip('/')}/{path}" if folder.strip("/") else f"/{path}"


def sendable(*parts: str) -> str:
    """The parts that say something, a blank line between, as text that JSON and UTF-8 can carry."""
    whole = "\n\n".join(part for part in parts if part and not part.isspace())
    return whole if whole.isascii() else whole.encode("utf-8", "backslashreplace").decode()


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "a text" if isinstance(value, str) else "an object"
