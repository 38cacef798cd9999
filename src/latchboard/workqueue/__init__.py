"""Work queue: jobs that are claimed under a lease, once each, in order, within limits, with the locks of their files.

Protocol: protocol/workqueue.md.
"""

from __future__ import annotations

from latchboard.workqueue.service import WorkQueue

__all__ = ["WorkQueue"]
