"""Started: when a process started, as people tell the time."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.host.port import Identity


def started_s(identity: Identity) -> float | None:
    """Unix seconds; None where it cannot be told. To the hundredth of a second, and only for this boot."""
    if not sys.platform.startswith("linux"):
        return identity["start"] / 100
    try:
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - identity["start"] / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    return time.time() - max(0.0, age_s)
