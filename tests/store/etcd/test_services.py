"""The services' own tests on a real etcd, unchanged: one module of each here, all of them in `make soak`.

Chosen is the module that walks through most of what the service keeps, and takes no more than two or three seconds; of
locks also which records are met, for that is what keeps two holders apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.store.etcd.server import BINARY
from tests.tidy.tree import ROOT

pytestmark = [pytest.mark.process, pytest.mark.slow]

MODULES = (
    "board/test_fold",
    "editing/test_editing",
    "locks/test_acquire",
    "locks/test_records",
    "mailbox/test_mailbox",
    "queue_file/test_due",
    "test_cleanup",
    "test_singleton",
    "test_watch",
    "workqueue/test_claim",
)
TOO_LONG = "tests/services/workqueue/test_claim.py::test_three_hundred_jobs_are_claimed_in_order[memory]"


@pytest.mark.timeout(300)
def test_one_module_of_each_service_passes_on_etcd(require_tool: Callable[[str], str]) -> None:
    require_tool(BINARY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    modules = [f"tests/services/{name}.py" for name in MODULES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *modules]

    done = subprocess.run(
        [*command, f"--deselect={TOO_LONG}"],
        cwd=ROOT,
        env={**environment, "ENGINE_FOR_TESTS": "etcd"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
