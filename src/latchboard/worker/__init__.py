"""Worker: takes jobs of one role, runs its command for each, and reports what came of it; see `service`.

Protocol: protocol/worker.md.
"""

from __future__ import annotations

from latchboard.worker.service import Worker

__all__ = ["Worker"]
