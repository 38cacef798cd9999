"""Telling: one line for each event of the stream and of the history."""

from __future__ import annotations

from latchboard.rules.workqueue import with_article
from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.clock import Now

    Event = dict[str, Any]


def line(event: Event, now: Now) -> str:
    """When, and what happened."""
    return f"{wording.moment(event['at'], now)}  {what(event)}"


def what(event: Event) -> str:
    """What happened."""
    told = _TOLD.get(event["event"])
    return told(event) if told else f"{printable(event['event'])} by {_name(event, 'who')}"


def brief(event: Event) -> str:
    """What happened, without the tokens: for whoever looks on."""
    return what({**event, "token": None})


def _token(event: Event) -> str:
    return f"token {event['token']}" if event["token"] is not None else ""


def _bracketed(*notes: str) -> str:
    said = ", ".join(filter(None, notes))
    return f" ({said})" if said else ""


def _name(event: Event, field: str) -> str:
    return printable(str(event.get(field) or "somebody"))


def _names(event: Event) -> str:
    return wording.listing(event.get("names") or [])


def _holders(event: Event) -> str:
    return wording.listing(sorted({str(one.get("agent")) for one in event["held_by"]}))


def _message(event: Event, did: str) -> str:
    return f"{_name(event, 'to')} {did} {_name(event, 'id')} from {_name(event, 'from')}"


def _why(text: object) -> str:
    return f": {printable(str(text))}" if text else ""


def _for(seconds: object, word: str) -> str:
    return f" after {wording.span(seconds)} {word}" if isinstance(seconds, int | float) else ""


def _acquired(event: Event) -> str:
    how = "shares" if event["mode"] == "shared" else "acquired"
    granted = f"granted by {printable(event['granted_by'])}" if event.get("granted_by") else ""
    waited = _for(event.get("waited_s"), "in line")
    notes = _bracketed(_token(event), granted)
    return f"{_name(event, 'agent')} {how} {_name(event, 'name')}{waited}{notes}{_why(event.get('reason'))}"


def _released(event: Event) -> str:
    return f"{_name(event, 'agent')} released {_name(event, 'name')}{_for(event.get('held_s'), '')}".rstrip()


def _taken_over(event: Event) -> str:
    what = f"{_name(event, 'by')} took {_name(event, 'name')} over from {_name(event, 'agent')}"
    return f"{what}, whose hold was over ({printable(str(event.get('why')))})"


def _broken(event: Event) -> str:
    if event.get("agent"):
        what = f"{_name(event, 'by')} broke the lock of {_name(event, 'agent')} on {_name(event, 'name')}"
    else:
        what = f"{_name(event, 'by')} removed the record of {_name(event, 'name')}, which could not be read"
    return f"{what}{_why(event.get('why'))}"


def _ended(event: Event) -> str:
    return f"the hold of {_name(event, 'agent')} on {_name(event, 'name')} ended ({printable(str(event.get('why')))})"


def _lost(event: Event) -> str:
    return f"{_name(event, 'agent')} lost {_name(event, 'name')}: the store heard nothing of its process any more"


def _waiting(event: Event) -> str:
    behind = wording.listing(sorted({str(one.get("agent")) for one in event["blocked_by"]}))
    return f"{_name(event, 'agent')} waits for {_names(event)}, behind {behind}{_why(event.get('reason'))}"


def _wait_ended(event: Event) -> str:
    left = f"{_name(event, 'agent')} left the line for {_names(event)}{_for(event.get('waited_s'), '')}".rstrip()
    return f"{left}, still held by {_holders(event)}" if event.get("held_by") else left


def _deadlock(event: Event) -> str:
    what = f"{_name(event, 'agent')} was refused {_names(event)}, held by {_holders(event)}"
    return f"{what}: both would wait for ever"


def _upgraded(event: Event) -> str:
    return f"{_name(event, 'agent')} made its hold of {_name(event, 'name')} exclusive{_bracketed(_token(event))}"


def _refused(event: Event) -> str:
    what = f"{_name(event, 'agent')} was refused {_names(event)}, held by {_holders(event)}"
    return f"{what}{_why(event.get('reason'))}"


def _conflict(event: Event) -> str:
    what = f"{_name(event, 'agent') or 'somebody'} changed {_names(event)}, held by {_holders(event)}"
    return f"{what} ({_name(event, 'kind')}){_why(event.get('reason'))}"


def _asked(event: Event) -> str:
    return f"{_name(event, 'agent')} asks {wording.listing(event['of'])} for {_names(event)}{_why(event.get('reason'))}"


def _declined(event: Event) -> str:
    return f"{_name(event, 'by')} keeps {_names(event)} from {_name(event, 'agent')}{_why(event.get('why'))}"


def _status(event: Event) -> str:
    files = f" [{wording.listing(event['files'])}]" if event["files"] else ""
    return f"{_name(event, 'agent')} says: {printable(event['status'])}{files}"


def _sent(event: Event) -> str:
    to = printable(event["to"]) if event["to"] else "everybody"
    subject = f"{printable(event['subject'])}: " if event["subject"] else ""
    urgency = "" if event["urgency"] in ("", "normal") else f" ({printable(event['urgency'])})"
    return f"{_name(event, 'from')} to {to}{urgency}: {subject}{printable(event['excerpt'])}"


def _job(event: Event) -> str:
    what = event["event"].partition(".")[2]
    said = (
        f"{_name(event, 'agent')} {what} {_name(event, 'job')}" if event["agent"] else f"{_name(event, 'job')} {what}"
    )
    if what == "submitted":
        waits = f", after {wording.listing(event['waits_for'])}" if event["waits_for"] else ""
        return f"{said} for {with_article(_name(event, 'role'))}: {printable(event['title'])}{waits}"
    if what == "claimed":
        return f"{said}: {printable(event['title'])}{_bracketed(_token(event))}"
    if what in ("failed", "expired"):
        said = f"the claim of {_name(event, 'job')} by {_name(event, 'agent')} {what}"
        return f"{said}: {_name(event, 'error')} (now {_name(event, 'status')})"
    if what in ("blocked", "cancelled"):
        return f"{said}{_why(event['reason'])}"
    return f"{said} (now {_name(event, 'status')})"


_JOB_EVENTS = ("submitted", "ready", "claimed", "completed", "failed", "expired", "released", "blocked", "cancelled")

_TOLD: dict[str, Callable[[Event], str]] = {
    "lock.acquired": _acquired,
    "lock.released": _released,
    "lock.upgraded": _upgraded,
    "lock.taken_over": _taken_over,
    "lock.broken": _broken,
    "lock.ended": _ended,
    "hold.lost": _lost,
    "lock.waiting": _waiting,
    "lock.wait_ended": _wait_ended,
    "lock.refused": _refused,
    "lock.deadlock": _deadlock,
    "file.conflict": _conflict,
    "handoff.asked": _asked,
    "handoff.declined": _declined,
    "agent.status": _status,
    "agent.left": lambda e: f"{_name(e, 'agent')} left the board",
    "message.sent": _sent,
    "message.taken": lambda e: _message(e, "took"),
    "message.acked": lambda e: _message(e, "acknowledged"),
    "message.dead": lambda e: f"{_name(e, 'id')} from {_name(e, 'from')} expired before {_name(e, 'to')} read it",
    **{f"job.{what}": _job for what in _JOB_EVENTS},
    "job.ready": lambda e: f"{_name(e, 'job')} is ready for {with_article(_name(e, 'role'))}: {printable(e['title'])}",
    "file.written": lambda e: f"{_name(e, 'agent')} wrote {_name(e, 'name')}{_bracketed(_token(e))}",
}
