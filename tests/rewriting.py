"""The assertions of a fresh checkout are rewritten once, not once by each worker: it is two thirds of a collection.

Each worker rewrites its share of the test modules and stores it where pytest looks for it. Whoever comes to a module
that another worker has not stored yet rewrites it, as ever: nothing is waited for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from _pytest.assertion import rewrite


def rewrite_share(config: pytest.Config, modules: list[Path]) -> None:
    """Rewrite those of `modules` that are this worker's part and were not stored before; without workers none."""
    worker = getattr(config, "workerinput", None)
    state = config.stash.get(rewrite.assertstate_key, None)
    if worker is None or state is None or state.hook is None or sys.dont_write_bytecode:
        return
    index, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    for module in modules[index % count :: count]:
        folder = rewrite.get_cache_dir(module)
        stored = folder / (module.name.removesuffix(".py") + rewrite.PYC_TAIL)
        if rewrite._read_pyc(module, stored) is None and rewrite.try_makedirs(folder):
            source_hash, code = rewrite._rewrite_test(module, config)
            rewrite._write_pyc(state, code, source_hash, stored)
