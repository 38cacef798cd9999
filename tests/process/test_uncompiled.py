"""An installation that no installer compiled: `init` does it, and `doctor` tells of hooks that run without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.process.test_setup import CLAUDE, Desk, edit, hook
from tests.surface.cli.harness import validate
from tests.tidy.tree import PACKAGE

pytestmark = [pytest.mark.process, pytest.mark.needs_tool("git")]

ONE_CLIENT = ("init", "--client", "claude", "--no-git", "--no-mcp")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a package that nobody compiled."""
    folder = tmp_path / "site"
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def desk(tmp_path: Path, site: Path) -> Desk:
    """A machine that runs this package, and whose Python keeps nothing by itself."""
    made = Desk(tmp_path, "project")
    made.environment |= {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return made


def told(desk: Desk, *words: str) -> list[str]:
    """The notes of `init` that speak of compiling."""
    return [note for note in desk.json(*words)["notes"] if "compile" in note]


def slow(desk: Desk) -> list[dict[str, Any]]:
    """The findings of `doctor` about the installation; nothing else is wrong."""
    ran = desk.board("doctor", "--hooks", "--json")
    answer = json.loads(ran.stdout)
    validate("doctor-hooks", answer)
    assert ran.returncode == 0, answer
    assert {one["state"] for one in answer["findings"]} <= {"ok", "slow", "missing"}
    return [one for one in answer["findings"] if one["client"] == "latchboard"]


def compiled(site: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in site.rglob("*.pyc")}


def test_init_compiles_what_no_installer_did_and_says_so_before_and_after(desk: Desk, site: Path) -> None:
    (would,) = told(desk, *ONE_CLIENT, "--dry-run")
    assert would.startswith("would compile ")
    assert f" modules of latchboard in {site}/latchboard" in would
    assert compiled(site) == set()

    (done,) = told(desk, *ONE_CLIENT)

    assert done == would.removeprefix("would ").replace("compile ", "compiled ", 1)
    assert compiled(site) == {path.stem for path in site.rglob("*.py")}
    assert told(desk, *ONE_CLIENT) == []
    assert slow(desk) == []


def test_where_no_hook_is_set_up_nothing_is_compiled(desk: Desk, site: Path) -> None:
    assert told(desk, "init", "--client", "none", "--no-git") == []
    assert compiled(site) == set()


def test_hooks_that_run_uncompiled_are_found_and_init_mends_them(desk: Desk, site: Path) -> None:
    desk.json(*ONE_CLIENT)
    for folder in list(site.rglob("__pycache__")):
        shutil.rmtree(folder)

    ran = desk.board("doctor", "--hooks")

    assert ran.returncode == 0
    found = ran.stdout[ran.stdout.index("slow       latchboard: ") :].splitlines()
    assert "modules are not compiled" in found[0]
    assert found[1:3] == [f"           in {site}/latchboard", "           to mend it: latchboard init"]
    assert len(told(desk, *ONE_CLIENT)) == 1
    assert slow(desk) == []


def test_where_nothing_can_be_kept_both_say_who_mends_it_and_hooks_hold(desk: Desk, site: Path) -> None:
    for folder in [site / "latchboard", *(path for path in site.rglob("latchboard/**/") if path.is_dir())]:
        (folder / "__pycache__").touch()  # a file in its way: who runs this may write everywhere else

    (before,), (after,) = told(desk, *ONE_CLIENT, "--dry-run"), told(desk, *ONE_CLIENT)

    by_hand = f" -m compileall -q {site}/latchboard"
    assert "cannot be compiled by us" in before
    assert before == after
    assert after.endswith(by_hand)
    (found,) = slow(desk)
    assert found["mend"].endswith(f"{by_hand}, as who may write there")
    desk.board("acquire", "a.txt", "--agent", "other")
    ran = desk.fire(hook(desk, CLAUDE, ".claude/settings.local.json", "edit"), edit(desk, "a.txt"))
    assert '"permissionDecision":"deny"' in ran.stdout
    assert compiled(site) == set()


def test_python_keeps_by_itself_what_the_first_hook_compiles(desk: Desk, site: Path) -> None:
    del desk.environment["PYTHONDONTWRITEBYTECODE"]
    desk.json(*ONE_CLIENT)
    for folder in list(site.rglob("__pycache__")):
        shutil.rmtree(folder)

    assert slow(desk) == []
