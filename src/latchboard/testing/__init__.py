"""Testing: a clock and a host of one's own, and the suite every store passes; for authors of stores and of tests.

`ManualClock` and `FakeHost` start with the same boot id and count reboots alike, so that a test that restarts the
machine calls `reboot()` on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latchboard.host.fake import FakeHost
    from latchboard.testing.clock import ManualClock
    from latchboard.testing.suite import StoreSuite

__all__ = ["FakeHost", "ManualClock", "StoreSuite"]

_HOME = {
    "FakeHost": "latchboard.host.fake",
    "ManualClock": "latchboard.testing.clock",
    "StoreSuite": "latchboard.testing.suite",  # needs pytest and hypothesis
}


def __getattr__(name: str) -> Any:
    """Public names, resolved when first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
