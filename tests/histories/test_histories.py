"""Eight real processes under kills and pauses: what they did can be explained by a sequential model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.histories.checker import check
from tests.histories.nemesis import Run, is_enough
from tests.process.nursery import Nursery

pytestmark = [pytest.mark.process, pytest.mark.slow]

AGENTS_COUNT = 8
DURATION_S = 120.0 if SOAK else 10.0
SEEDS = range(5) if SOAK else range(1)
RUNS_COUNT_MAX = 8
"""On a machine that hardly lets them run they may not meet in the first."""


def test_workers_that_write_without_a_token_are_found_out(nursery: Nursery, tmp_path: Path) -> None:
    def is_found_out(seed: int) -> bool:
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = Run(nursery, folder, agents_count=AGENTS_COUNT, seed=seed, careless=True)
        return any("succeeded and is lost" in problem for problem in check(run.history(3.0)))

    assert any(is_found_out(seed) for seed in range(RUNS_COUNT_MAX))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_processes_did_under_kills_and_pauses_can_be_explained(
    seed: int, nursery: Nursery, tmp_path: Path
) -> None:
    run = Run(nursery, tmp_path, agents_count=AGENTS_COUNT, seed=seed)

    history = run.history(DURATION_S)

    calls = Counter((op.call, op.result.get("code", "ok") if op.result else "never returned") for op in history.ops)
    print(f"{run.killed_count} kills, {run.stopped_count} pauses, {len(history.commits)} commits, {dict(calls)}")
    problems = check(history)
    if problems:
        pytest.fail(f"{len(problems)} things cannot be explained\n" + "\n".join(problems[:50]), pytrace=False)
    assert run.killed_count and run.stopped_count
    assert is_enough(history.ops), "it says too little"
