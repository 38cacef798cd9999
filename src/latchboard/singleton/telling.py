"""Telling: what happens to singletons is counted under the guard, logged, and traced in the store.

Guarantees that no event is counted twice or lost while the folder can be written. A trace is a hint for watchers.

Protocol: protocol/singleton.md, "Events".
"""

from __future__ import annotations

import logging

from latchboard import codec
from latchboard.errors import CoordinationError
from latchboard.rules import singleton as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.host.desk import Desk
    from latchboard.host.port import Identity
    from latchboard.store.port import Store, View

COUNTS = ".counts"
"""No type begins with a dot."""
TRACE = "log/singleton"
log = logging.getLogger("latchboard.singleton")


def count(desk: Desk, agent_type: str, told: list[dict[str, Any]]) -> None:
    """Count events; where that fails, what was done is done all the same."""
    found = rules.counted(counts_at(desk), agent_type, [one["event"] for one in told])
    try:
        desk.scribble(COUNTS, f"{codec.encode({'format': 1, 'counts': found})}\n".encode())
    except CoordinationError as exc:
        log.warning("events of %s are not counted: %s", agent_type, exc.message)


def tell(
    store: Store, agent_type: str, process: Identity, told: list[dict[str, Any]], *, wait_s_max: float | None = None
) -> None:
    """Log events, and leave a trace of them in the store; where that fails, it is only logged.

    Args:
        store: Takes the trace.
        agent_type: Whose events.
        process: Likewise.
        told: The events.
        wait_s_max: How long the store is waited for, seconds; behind that the trace is left when, and if, it answers.
            None: until it has answered.
    """
    for event in told:
        log_event(agent_type, process, event)
    if not told:
        return
    trace = {"agent_type": agent_type, "process": dict(process), "events": told}
    if wait_s_max is None:
        _leave_trace(store, agent_type, trace)
        return
    from threading import Thread

    leaving = Thread(
        target=_leave_trace, args=(store, agent_type, trace), name="latchboard leaves a trace", daemon=True
    )
    leaving.start()
    leaving.join(wait_s_max)


def _leave_trace(store: Store, agent_type: str, trace: dict[str, Any]) -> None:
    def put(view: View) -> None:
        view.put(TRACE, trace)

    try:
        store.transact(put, who=agent_type)
    except CoordinationError as exc:
        log.warning("no trace of %s in the store: %s", agent_type, exc.message)


def counts_at(desk: Desk) -> rules.Counts:
    """What was counted so far."""
    try:
        return rules.check_counts(codec.decode(desk.read(COUNTS) or b"").get("counts"))
    except ValueError:
        return {}


def log_event(agent_type: str, process: Identity, event: dict[str, Any]) -> None:
    """One line for each event; a refusal and a break are warnings."""
    is_warning = event["event"] == "blocked" or event.get("forced_over_pid") is not None
    details = " ".join(f"{name}={value}" for name, value in event.items() if name != "event" and value is not None)
    name = f"agent.singleton.{event['event']}"
    line = f"{name} agent_type={agent_type} pid={process['pid']} {details}".rstrip()
    log.log(logging.WARNING if is_warning else logging.INFO, line, extra={"latchboard": {"event": name, **event}})
