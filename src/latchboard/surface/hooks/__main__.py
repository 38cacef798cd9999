"""`python -m latchboard.surface.hooks CLIENT`: the same as `latchboard-hook CLIENT`."""

from __future__ import annotations

from latchboard.surface.hooks import main

if __name__ == "__main__":
    main()
