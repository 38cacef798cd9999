"""Log: one line for each transaction, to the logger `latchboard.credential`; nothing in it is secret.

Protocol: protocol/credential.md, "Log".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latchboard.credential.result import RefreshResult
    from latchboard.errors import CoordinationError

LOGGER = "latchboard.credential"
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
