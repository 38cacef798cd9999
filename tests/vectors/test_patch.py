"""protocol/vectors/editing/: patches.json and patch_scripts.json against rules/patch.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.rules import patch

VECTORS = Path(__file__).parents[2] / "protocol/vectors/editing"


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("patches"))
def test_the_files_of_a_patch(given: dict[str, str], expect: dict[str, Any]) -> None:
    found = patch.read(given["patch"])

    assert {"paths": list(found.paths), "fault": bool(found.fault)} == expect


@pytest.mark.parametrize(("given", "expect"), cases("patch_scripts"))
def test_the_patch_in_a_script(given: dict[str, str], expect: dict[str, Any] | None) -> None:
    found = patch.in_script(given["command"])

    told = found and {"folder": found.folder, "paths": list(found.patch.paths), "is_whole": found.is_whole}
    assert told == expect
