"""protocol/vectors/mcp/ against rules/naming.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules import naming

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "mcp"


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("names"))
def test_names(given: str, expect: str) -> None:
    assert naming.readable(given) == expect
