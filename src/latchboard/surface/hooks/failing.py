"""Failing: what a hook says when it cannot do its work. It blocks by decision, never by accident.

Law 1. What a client wrote and cannot be right blocks nothing.
Law 2. A store that cannot be read denies a call, unless the setting `hooks_failure` is `open`: what cannot be read is
not free.
Law 3. A mistake of our own, or settings that cannot be read, deny an edit only where one of its files has a record that
cannot be shown to be the agent's; it is looked for without what may have failed.

Protocol: protocol/editing.md, "When a hook fails".
"""

from __future__ import annotations

import os

from latchboard.codec import decode
from latchboard.errors import CoordinationError, UsageError
from latchboard.rules.lock import check_record
from latchboard.surface.hooks.event import Outcome
from latchboard.surface.hooks.handling import BEFORE as BEFORE
from latchboard.surface.hooks.handling import unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.settings import Settings
    from latchboard.surface.hooks.event import Event
    from latchboard.surface.hooks.project import Place

_RECORD_BYTES_MAX = 16 * 1024 * 1024


def outcome(event: Event, place: Place | None, settings: Settings | None, exc: Exception) -> Outcome | None:
    """What to say after `exc`; None: nothing that stops anything.

    Args:
        event: What was to be handled.
        place: Where; None: that is what failed.
        settings: The project's; None: they are what failed.
        exc: What went wrong.
    """
    if event.kind not in BEFORE or (settings is not None and settings.hooks_failure == "open"):
        return None
    if settings is not None and isinstance(exc, CoordinationError) and not isinstance(exc, UsageError):
        return Outcome(unreadable(event, place, exc))
    if place is not None and event.kind == "before-edit" and any(_may_be_held(event, place, p) for p in event.paths):
        reason = exc.message if isinstance(exc, CoordinationError) else f"{type(exc).__name__}: {exc}"
        hint = exc.hint if isinstance(exc, CoordinationError) else "this is a mistake of latchboard: please report it"
        return Outcome(unreadable(event, place, CoordinationError(reason, hint=hint)))
    return None


def _may_be_held(event: Event, place: Place, path: str) -> bool:
    """Whether a file has a record, unless that shows that the agent alone is in it."""
    try:
        from latchboard.compose.finding import record_file

        name = os.path.relpath(os.path.realpath(f"{place.cwd}/{path}" if path[:1] != "/" else path), place.root)
        with open(record_file(place.root, f"locks/{name}"), "rb") as file:
            record = decode(file.read(_RECORD_BYTES_MAX))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, UsageError):
        return "\0" not in path
    is_sound = not check_record(record) and record["name"] == name
    return not is_sound or any(held["agent"] != event.agent for held in record["holders"])
