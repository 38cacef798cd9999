"""Health: which program answers here, since when. No secret is in it, for whoever asks is told.

Protocol: protocol/health.md, "Health answer".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from latchboard import __version__
from latchboard.clock import iso
from latchboard.rules import serving

if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Clock


class Health:
    """What one daemon says of itself, from the moment it is made."""

    def __init__(self, clock: Clock) -> None:
        started_at = iso(clock.now().wall_s)
        self._facts = serving.Health(__version__, serving.PROTOCOL_VERSION, os.getpid(), started_at).to_json()

    def facts(self) -> dict[str, Any]:
        """protocol/schema/health.json, without its format."""
        return dict(self._facts)
