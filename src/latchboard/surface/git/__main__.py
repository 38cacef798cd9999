"""`python -m latchboard.surface.git`, where the script is not installed."""

from __future__ import annotations

from latchboard.surface.git import main

main()
