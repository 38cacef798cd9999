"""Forking: a plugin of pytest for a suite that starts commands by `subprocess` and knows nothing of tests/forked.py."""

from __future__ import annotations

import subprocess

from tests import forked

subprocess.Popen = forked.Popen  # type: ignore[misc]
