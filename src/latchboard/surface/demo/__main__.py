"""`python -m latchboard.surface.demo`: the demo without the command line around it."""

from __future__ import annotations

import argparse
import sys

from latchboard.errors import CoordinationError
from latchboard.surface.demo import SECONDS, run


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m latchboard.surface.demo")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each of the two phases")
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--root", help="copy the files of this folder instead of Latchboard's own")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end and nothing else")
    parser.add_argument("--plain", action="store_true", help="lines instead of a live board")
    options = parser.parse_args()
    try:
        return run(**vars(options))
    except CoordinationError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return exc.exit_status


if __name__ == "__main__":
    sys.exit(main())
