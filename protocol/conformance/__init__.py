"""Black-box suite for any implementation; see README.md."""

from __future__ import annotations
