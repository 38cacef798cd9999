"""Health: which program answers here, since when. No secret is in it, for whoever asks is told.

Protocol: protocol/http.md, "Health".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from latchboard import __version__
from latchboard.clock import iso

if TYPE_CHECKING:
    from latchboard.clock import Clock

PRODUCT = "latchboard"
PROTOCOL_VERSION = 1
"""Format of the protocol that the daemon speaks (protocol/README.md, "Versions")."""


class Health:
    """What one daemon says of itself, from the moment it is made."""

    def __init__(self, clock: Clock) -> None:
        self._facts = {
            "product": PRODUCT,
            "version": __version__,
            "protocol_version": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "started_at": iso(clock.now().wall_s),
        }

    def facts(self) -> dict[str, Any]:
        """protocol/schema/health.json, without its format."""
        return dict(self._facts)
