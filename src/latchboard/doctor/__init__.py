"""Doctor: looks whether what is set up does what it is there for, and says what mends it.

Protocol: protocol/installation.md, "Probing".
"""

from __future__ import annotations

from latchboard.doctor.finding import Finding
from latchboard.doctor.hooks import HookDoctor

__all__ = ["Finding", "HookDoctor"]
