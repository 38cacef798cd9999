"""protocol/vectors/daemon/ against rules/daemon.py and rules/container.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules import container, daemon

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "daemon"


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("command_lines"))
def test_command_lines(given: list[str], expect: str | None) -> None:
    assert daemon.root_in(given) == expect


@pytest.mark.parametrize(("given", "expect"), cases("reasons"))
def test_reasons(given: dict[str, Any], expect: str) -> None:
    asker: Any = {"identity": {}, "parent": 1, "uid": given.pop("asker_uid"), "argv": ["sh"], "exe": "/bin/sh"}

    assert daemon.why_not_ours(given.pop("process"), asker, **given) == expect


@pytest.mark.parametrize(("given", "expect"), cases("points"))
def test_points(given: Any, expect: dict[str, Any]) -> None:
    listed = container.indicators(given)

    assert expect == {
        "points": container.score(listed),
        "is_container": container.is_container(listed),
        "has_hard_evidence": container.has_hard_evidence(listed),
    }
