"""What init writes, byte for byte: for each client, in a project without configuration and in one with a filled one.

A file's name in golden/ has `dot-` where the real one begins with a dot: those here configure nobody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from latchboard.rules.client import CLIENTS

GOLDEN = Path(__file__).parent / "golden"
CASES = [(one.name, case) for one in CLIENTS for case in ("empty", "filled")]


def tree(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return {str(path.relative_to(folder)).replace("dot-", "."): path.read_bytes() for path in files}


@pytest.mark.parametrize(("client", "case"), CASES)
def test_files_are_those_of_the_golden_folder(scene, client: str, case: str) -> None:
    before, after = (tree(GOLDEN / client / case / when) for when in ("before", "after"))
    for name, data in before.items():
        scene.write(name, data.decode())

    assert scene.set_up(client) == []

    assert {name: data for name, data in scene.tree().items() if data is not None} == after
    assert scene.set_up(client) == []
    assert {name: data for name, data in scene.tree().items() if data is not None} == after

    assert scene.take_out() == []
    assert {name: data for name, data in scene.tree().items() if data is not None} == before


def test_every_case_is_there_and_no_other() -> None:
    there = {(path.parent.name, path.name) for path in GOLDEN.glob("*/*")}

    assert there == set(CASES)
