from __future__ import annotations

import json

import pytest

from tests.surface.cli.harness import Cli, validate
from tests.surface.cli.real import Real


@pytest.mark.parametrize("words", [("--seconds", "0.1"), ("--seconds", "1000"), ("--agents", "1"), ("--agents", "99")])
def test_numbers_out_of_range_are_refused(cli: Cli, words: tuple[str, ...]) -> None:
    answer = cli("demo", *words, "--json")

    assert (answer.status, answer.json["code"]) == (2, "usage")


@pytest.mark.process
@pytest.mark.slow
def test_demo_answers_with_one_object_and_leaves_the_project_alone(real: Real) -> None:
    before = sorted(path.name for path in real.project.rglob("*"))

    done = real("demo", "--seconds", "0.5", "--agents", "2", "--json", timeout=110)

    assert len(done.stdout.splitlines()) == 1
    answer = json.loads(done.stdout)
    validate("demo", answer)
    assert done.returncode == (0 if answer["ok"] else 1)
    assert answer["with"]["edits_lost"] == 0
    assert sorted(path.name for path in real.project.rglob("*")) == before
