"""Log: one line for each transaction, to the logger `latchboard.credential`; nothing in it is secret.

Protocol: protocol/credential.md, "Log".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from latchboard.errors import CoordinationError

if TYPE_CHECKING:
    from typing import Any

    from latchboard.credential.result import RefreshResult
    from latchboard.store.port import Store, View

LOGGER = "latchboard.credential"
TRACE = "log/credential"
_log = logging.getLogger(LOGGER)


def tell_result(result: RefreshResult) -> None:
    """`credential.refresh outcome=refreshed credential=github version=8-... waited_s=0.002 call_s=0.301`."""
    facts = result.facts()
    line = " ".join(f"{name}={facts[name]}" for name in ("outcome", "credential", "version", "waited_s", "call_s"))
    cleared = result.grant.cleared
    if cleared is not None:
        line += f" cause={cleared['cause']!r} command={cleared['command']!r}"
    _log.log(logging.INFO if result.is_usable else logging.WARNING, "credential.refresh %s", line)


def tell_failure(credential: str, exc: CoordinationError) -> None:
    """`credential.refresh outcome=none credential=github code=refresh-failed cause='timeout'`."""
    cause = exc.fields.get("cause", "")
    _log.warning("credential.refresh outcome=none credential=%s code=%s cause=%r", credential, exc.code, cause)


def leave_trace(store: Store, facts: dict[str, Any]) -> None:
    """The same in a project's store, as a trace; where that fails, it is only logged."""

    def put(view: View) -> None:
        view.put(TRACE, facts)

    try:
        store.transact(put, who="credential")
    except CoordinationError as exc:
        _log.warning("no trace of %s in the store: %s", facts["credential"], exc.message)
