from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from latchboard.host.installed import Installed

PROGRAM, MODULE = "latchboard-hook", "latchboard.surface.hooks"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this installation's programs."""
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    return folder


def program(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / PROGRAM
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_bare_name_is_enough_where_path_leads_to_this_installation(own: Path, tmp_path: Path) -> None:
    script = program(own)
    links = tmp_path / "links"
    links.mkdir()
    (links / PROGRAM).symlink_to(script)

    for folder in (own, links):
        assert Installed({"PATH": str(folder)}).command(PROGRAM, MODULE) == ([PROGRAM], True)


def test_path_of_the_script_is_used_where_path_leads_elsewhere(own: Path, tmp_path: Path) -> None:
    script = program(own)
    program(tmp_path / "other")

    for path in ("", str(tmp_path / "other")):
        assert Installed({"PATH": path}).command(PROGRAM, MODULE) == ([str(script)], False)


def test_python_itself_is_used_where_there_is_no_script(own: Path) -> None:
    assert Installed({"PATH": ""}).command(PROGRAM, MODULE) == ([str(own / "python"), "-m", MODULE], False)


def test_the_file_of_a_command_is_this_installations_own_whatever_path_says(own: Path, tmp_path: Path) -> None:
    other = program(tmp_path / "other")
    assert Installed({"PATH": str(other.parent)}).script(PROGRAM) == ""

    script = program(own)
    assert Installed({"PATH": str(other.parent)}).script(PROGRAM) == str(script)


def test_home_and_programs_are_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    path = program(tmp_path / "bin")
    machine = Installed({"HOME": str(tmp_path), "PATH": os.fspath(path.parent)})

    assert machine.at_home(".codex")
    assert not machine.at_home(".claude")
    assert not Installed({}).at_home(".codex")
    assert machine.program(PROGRAM) == str(path)
    assert machine.program("codex") == ""
    assert machine.can_import("json")
    assert not machine.can_import("no_such_package")
