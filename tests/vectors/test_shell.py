"""protocol/vectors/shell/ against rules/shell.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latchboard.rules.shell import writes

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "shell"
CASES = [
    (file.stem, case["given"], case["expect"])
    for file in sorted(VECTORS.glob("*.json"))
    for case in json.loads(file.read_text(encoding="utf-8"))["cases"]
]


@pytest.mark.parametrize(("file", "given", "expect"), CASES)
def test_a_command_line_plainly_writes_this_and_nothing_more(file: str, given: str, expect: list[str]) -> None:
    assert [repr(write) for write in writes(given)] == expect, file


def test_each_case_is_there_once() -> None:
    given = [command for _, command, _ in CASES]

    assert len(given) == len(set(given)) >= 120
