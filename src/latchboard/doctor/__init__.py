"""Doctor: how everything stands, what is wrong, and the command that mends it; and what the hooks really do.

Law 1. A look changes nothing: no byte, no time of a file, no process, no lock. It speaks to this machine alone.
Law 2. No secret is told, wherever it may stand.

Protocol: protocol/health.md, "Doctor"; protocol/installation.md, "Probing".
"""

from __future__ import annotations

from latchboard.doctor.hooks import HookDoctor
from latchboard.doctor.probed import Probed
from latchboard.doctor.report import DoctorReport

__all__ = ["DoctorReport", "HookDoctor", "Probed"]
