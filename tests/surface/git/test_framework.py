"""The entries for the pre-commit framework, run by the real one with the guard of the PATH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.surface.git.scene import WAIT_S_MAX, Scene

pytestmark = [pytest.mark.process, pytest.mark.slow]

MANIFEST = Path(__file__).parents[3] / ".pre-commit-hooks.yaml"


def framework(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *words],
        cwd=scene.repo,
        env=scene.environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S_MAX,
        check=True,
    )


@pytest.fixture
def managed(bare_scene: Scene) -> Scene:
    """A repository whose hooks the framework wrote, with all of our entries."""
    scene = bare_scene.make(guards=False)
    scene.environment["PRE_COMMIT_HOME"] = str(scene.base / "cache")
    entries: list[dict[str, Any]] = yaml.safe_load(MANIFEST.read_text())
    local = [{**entry, "language": "system"} for entry in entries]  # else it would install the package
    scene.write(".pre-commit-config.yaml", json.dumps({"repos": [{"repo": "local", "hooks": local}]}))
    scene.git("add", ".pre-commit-config.yaml")
    scene.commit()
    framework(scene, "install", *(word for entry in entries for word in ("--hook-type", entry["stages"][0])))
    return scene


def test_manifest_is_one(bare_scene: Scene) -> None:
    bare_scene.repo.mkdir()

    framework(bare_scene, "validate-manifest", str(MANIFEST))


def test_commit_is_refused_and_goes_on_when_it_may(managed: Scene) -> None:
    managed.hold("planner", "src/a.py")
    managed.change("src/a.py")

    done = managed.commit("builder")
    assert done.returncode != 0
    assert "latchboard: refused: this commit has 1 file held by planner" in done.stdout + done.stderr
    assert managed.commit("planner").returncode == 0


def test_commit_past_it_is_found(managed: Scene) -> None:
    managed.hold("planner", "src/a.py")
    managed.change("src/a.py")

    managed.commit("builder", "--no-verify")

    assert [one["kind"] for one in managed.conflicts()] == ["bypass"]


def test_checkout_rebase_and_push_are_told_by_variables(managed: Scene) -> None:
    managed.git("init", "--quiet", "--bare", str(managed.base / "remote.git"))
    managed.git("remote", "add", "origin", str(managed.base / "remote.git"))
    managed.git("push", "--quiet", "origin", "main")
    managed.git("switch", "--quiet", "-c", "other")
    managed.hold("planner", "src/a.py")
    managed.change("src/a.py")
    managed.commit("builder", "--no-verify")

    assert managed.git("push", "origin", "other", agent="builder", ok=False).returncode != 0
    assert managed.git("rebase", "--no-ff", "main", "other", agent="builder", ok=False).returncode != 0
    managed.git("switch", "--quiet", "main", agent="builder")
    assert [one["kind"] for one in managed.conflicts()] == ["bypass", "overwritten"]


def test_our_hooks_beside_the_frameworks_leave_its_own_alone(managed: Scene) -> None:
    before = (managed.repo / ".git/hooks/pre-commit").read_bytes()

    done = managed.run_guard("--install")

    assert "pre-commit runs the hooks here" in done.stdout
    assert (managed.repo / ".git/hooks/pre-commit").read_bytes() == before
    framework(managed, "install")
    managed.change("src/b.py")
    assert managed.commit("builder").returncode == 0


def test_framework_that_comes_later_keeps_ours(scene: Scene) -> None:
    scene.environment["PRE_COMMIT_HOME"] = str(scene.base / "cache")
    scene.write(".pre-commit-config.yaml", '{"repos": []}')
    framework(scene, "install")
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    done = scene.commit("builder")

    assert done.returncode != 0
    assert "latchboard: refused" in done.stdout + done.stderr
