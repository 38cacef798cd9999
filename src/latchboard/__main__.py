"""`python -m latchboard`: the command line."""

from __future__ import annotations

import sys

from latchboard.surface.cli import main

if __name__ == "__main__":
    sys.exit(main())
