"""Where a repository lies and where its board does: work trees, submodules, folders of their own, hooks elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surface.git.scene import Scene

pytestmark = pytest.mark.process


def is_refused(scene: Scene, agent: str, *, at: Path | None = None) -> bool:
    done = scene.commit(agent, at=at)
    assert done.returncode == 0 or "latchboard: refused" in done.stderr, done.stderr
    return done.returncode != 0


def worktree(scene: Scene) -> Path:
    path = scene.base / "linked tree"
    scene.git("worktree", "add", "--quiet", "-b", "linked", str(path))
    return path


def test_linked_work_tree_without_a_board_asks_nobody(scene: Scene) -> None:
    linked = worktree(scene)
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", at=linked)

    assert not is_refused(scene, "builder", at=linked)


def test_linked_work_tree_has_its_own_board(scene: Scene) -> None:
    linked = worktree(scene)
    (linked / "data/.agent_locks").mkdir(parents=True)
    scene.hold("planner", "src/a.py", root=linked)
    scene.change("src/a.py", at=linked)
    scene.change("src/a.py")

    assert is_refused(scene, "builder", at=linked)
    assert not is_refused(scene, "builder")
    assert scene.commit("builder", "--no-verify", at=linked).returncode == 0
    assert len(scene.conflicts(root=linked)) == 1


def test_work_trees_can_share_the_board_of_the_main_one(scene: Scene) -> None:
    scene.write("latchboard.toml", "worktrees_shared = true\n")
    scene.git("add", "latchboard.toml")
    scene.commit()
    linked = worktree(scene)
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", "src/b.py", at=linked)

    assert is_refused(scene, "builder", at=linked)
    assert scene.commit("builder", "--no-verify", at=linked).returncode == 0
    assert [one["names"] for one in scene.conflicts()] == [["src/a.py"]]


def test_switching_a_linked_work_tree_changes_no_other(scene: Scene) -> None:
    scene.write("latchboard.toml", "worktrees_shared = true\n")
    scene.git("add", "latchboard.toml")
    scene.commit()
    linked = worktree(scene)
    scene.change("src/a.py", at=linked)
    scene.commit("builder", at=linked)
    scene.hold("planner", "src/a.py")

    scene.git("switch", "--quiet", "--detach", "HEAD~1", at=linked, agent="builder")

    assert scene.conflicts() == []


def test_submodule_has_a_board_of_its_own(scene: Scene) -> None:
    library = Scene(scene.base / "library").make(guards=False)
    scene.git("submodule", "--quiet", "add", str(library.repo), "lib")
    scene.commit()
    inner = scene.repo / "lib"
    scene.ignore_board(inner)
    assert scene.run_guard("--install", at=inner).returncode == 0
    (inner / "data/.agent_locks").mkdir(parents=True)
    scene.hold("planner", "src/a.py", root=inner)
    scene.change("src/a.py", at=inner)

    assert is_refused(scene, "builder", at=inner)
    assert not is_refused(scene, "planner", at=inner)


def test_submodule_itself_is_held_as_a_folder(scene: Scene) -> None:
    library = Scene(scene.base / "library").make(guards=False)
    scene.git("submodule", "--quiet", "add", str(library.repo), "lib")
    scene.commit()
    scene.hold("planner", "lib/")
    scene.git("config", "--file", ".gitmodules", "submodule.lib.ignore", "all")
    scene.change("src/a.py", at=scene.repo / "lib")
    scene.commit(at=scene.repo / "lib")
    scene.git("add", "--force", "lib")

    assert is_refused(scene, "builder")


def test_board_of_a_folder_in_the_repository(bare_scene: Scene) -> None:
    scene = bare_scene.make(board=False)
    service = scene.repo / "svc"
    (service / "data/.agent_locks").mkdir(parents=True)
    scene.write("svc/.gitignore", "/data/\n")
    scene.hold("planner", "a.py", root=service)
    scene.change("svc/a.py", "a.py")

    done = scene.commit("builder")

    assert f"latchboard acquire {service}/a.py --wait-s-max 60 --agent builder --root {service}" in done.stderr
    scene.git("restore", "--staged", "--", "svc/a.py")
    assert not is_refused(scene, "builder")


def test_file_on_two_boards_is_looked_for_on_both(scene: Scene) -> None:
    service = scene.repo / "svc"
    (service / "data/.agent_locks").mkdir(parents=True)
    scene.write("svc/.gitignore", "/data/\n")
    scene.change("svc/a.py")
    scene.hold("planner", "svc/a.py")
    assert is_refused(scene, "builder")

    scene.release("planner")
    scene.hold("planner", "a.py", root=service)
    assert is_refused(scene, "builder")


def test_board_above_a_repository_is_not_its_own(bare_scene: Scene) -> None:
    scene = bare_scene.make(board=False)
    (scene.base / "data/.agent_locks").mkdir(parents=True)
    scene.hold("planner", "repo/", root=scene.base)
    scene.change("src/a.py")

    assert not is_refused(scene, "builder")


def test_git_folder_elsewhere(bare_scene: Scene) -> None:
    bare_scene.git(
        "init", "--quiet", f"--separate-git-dir={bare_scene.base}/stored", str(bare_scene.repo), at=bare_scene.base
    )
    scene = bare_scene
    (scene.repo / "data/.agent_locks").mkdir(parents=True)
    scene.ignore_board(scene.repo)
    assert scene.run_guard("--install").returncode == 0
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert is_refused(scene, "builder")
    assert scene.commit("builder", "--no-verify").returncode == 0
    assert len(scene.conflicts()) == 1


def test_work_tree_named_by_the_environment(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    named = {"GIT_DIR": str(scene.repo / ".git"), "GIT_WORK_TREE": str(scene.repo)}

    done = scene.commit("builder", at=scene.base, **named)

    assert "src/a.py: planner" in done.stderr
    assert done.returncode != 0


def test_hooks_in_a_folder_of_the_work_tree(bare_scene: Scene) -> None:
    scene = bare_scene.make(guards=False)
    scene.git("config", "core.hooksPath", "tools/hooks")
    assert scene.run_guard("--install", at=scene.repo / "src").returncode == 0
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert str(scene.guard) not in (scene.repo / "tools/hooks/pre-commit").read_text()
    assert is_refused(scene, "builder")
