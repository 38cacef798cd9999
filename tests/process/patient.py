"""`latchboard doctor` for a machine that is busy with other tests: the very command, with more time than 2.5 s.

What a look does not see in its time is a finding, so that a test of what is found would be one of the machine.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from latchboard.compose import doctoring
from latchboard.surface.cli import main

UNHURRIED_S = 20.0
_examine = doctoring.examine


def _unhurried(*given: Any, **options: Any) -> Any:
    return _examine(*given, **{"deadline_s": float(os.environ.get("PATIENT_S", UNHURRIED_S)), **options})


if __name__ == "__main__":
    doctoring.examine = _unhurried
    sys.exit(main())
