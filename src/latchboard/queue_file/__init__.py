"""Queue file: the queue as a file that people and other programs read and edit, in the founding form, kept up to date.

Protocol: protocol/queue_file.md.
"""

from __future__ import annotations

from latchboard.queue_file.service import QueueFiles
from latchboard.queue_file.syncing import LiveFile

__all__ = ["LiveFile", "QueueFiles"]
