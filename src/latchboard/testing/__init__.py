"""Testing: a clock and a host of one's own, for tests of what is built on Latchboard and for authors of stores.

`ManualClock` and `FakeHost` start with the same boot id and count reboots alike, so that a test that restarts the
machine calls `reboot()` on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latchboard.host.fake import FakeHost
    from latchboard.testing.clock import ManualClock

__all__ = ["FakeHost", "ManualClock"]

_HOME = {
    "FakeHost": "latchboard.host.fake",
    "ManualClock": "latchboard.testing.clock",
}


def __getattr__(name: str) -> Any:
    """Public names, resolved when first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
