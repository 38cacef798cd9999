"""The root of a project, found from inside; git worktrees apart or together."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from latchboard.errors import UsageError
from latchboard.host.root import board_above, root_of, shared_root


def git(*arguments: str, cwd: Path) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True, timeout=60, env=clean)


@pytest.fixture
def repository(tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    require_tool("git")
    main = tmp_path / "main"
    main.mkdir()
    git("init", cwd=main)
    git("commit", "--allow-empty", "-m", "first", cwd=main)
    return main


def test_root_is_the_nearest_folder_with_a_store(tmp_path: Path) -> None:
    inner = tmp_path / "a/b/c"
    inner.mkdir(parents=True)
    (tmp_path / "data/.agent_locks").mkdir(parents=True)
    (inner / "file.py").touch()

    assert root_of(inner) == root_of(inner / "file.py") == root_of(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("is_worktree", [False, True])
def test_a_store_above_the_nearest_git_is_another_projects(tmp_path: Path, is_worktree: bool) -> None:
    project = tmp_path / "a"
    (project / "src").mkdir(parents=True)
    (tmp_path / "data/.agent_locks").mkdir(parents=True)
    if is_worktree:
        (project / ".git").write_text("gitdir: /elsewhere/.git/worktrees/a\n")
    else:
        (project / ".git").mkdir()

    assert root_of(project) == root_of(project / "src") == shared_root(project / "src") == str(project)
    assert board_above(str(project)) == str(tmp_path)


def test_a_store_below_git_is_the_one_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "part/data/.agent_locks").mkdir(parents=True)
    (tmp_path / "part/src").mkdir()

    assert root_of(tmp_path / "part/src") == str(tmp_path / "part")
    assert root_of(tmp_path) == str(tmp_path)


def test_no_store_is_above_the_top(tmp_path: Path) -> None:
    assert board_above("/") == board_above(str(tmp_path)) == ""


def test_root_is_the_nearest_folder_with_git(tmp_path: Path) -> None:
    inner = tmp_path / "a/b/c"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert root_of(inner) == str(tmp_path)

    (tmp_path / "a/b/.git").write_text("gitdir: ../../.git/worktrees/b\n")
    assert root_of(inner) == str(tmp_path / "a/b")


def test_root_is_else_the_folder_itself(tmp_path: Path) -> None:
    assert root_of(tmp_path) == shared_root(tmp_path) == str(tmp_path)
    assert root_of(tmp_path / "not/there") == str(tmp_path / "not/there")


def test_root_is_found_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real/data/.agent_locks").mkdir(parents=True)
    (tmp_path / "real/src").mkdir()
    (tmp_path / "link").symlink_to("real/src")

    assert root_of(tmp_path / "link") == str(tmp_path / "real")


def test_root_from_a_folder_that_is_gone_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(UsageError, match="cannot find the folder"):
        root_of(".")
    with pytest.raises(UsageError, match="cannot find"):
        root_of("a\0b")


def test_worktrees_are_told_apart_or_share_one_root(repository: Path, tmp_path: Path) -> None:
    git("worktree", "add", "../feature", cwd=repository)
    inner = tmp_path / "feature/src"
    inner.mkdir()

    assert root_of(inner) == str(tmp_path / "feature")
    assert shared_root(inner) == shared_root(repository) == str(repository)


def test_worktrees_share_the_main_one_also_below_somebody_elses_store(repository: Path, tmp_path: Path) -> None:
    git("worktree", "add", "../feature", cwd=repository)
    git("worktree", "add", "inside", cwd=repository)
    for root in (tmp_path, repository):
        (root / "data/.agent_locks").mkdir(parents=True)

        assert shared_root(tmp_path / "feature") == shared_root(repository / "inside") == str(repository)
        assert root_of(repository / "inside") == str(repository / "inside")


def test_worktrees_with_relative_paths_share_too(repository: Path, tmp_path: Path) -> None:
    git("worktree", "add", "../feature", cwd=repository)
    pointer = tmp_path / "feature/.git"
    pointer.write_text("gitdir: ../main/.git/worktrees/feature\n")

    assert shared_root(tmp_path / "feature") == str(repository)


def test_worktrees_of_a_bare_repository_share_the_folder_that_leads_to_it(repository: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    git("clone", "--bare", str(repository), ".bare", cwd=project)
    (project / ".git").write_text("gitdir: ./.bare\n")
    git("worktree", "add", "one", cwd=project)
    git("worktree", "add", "two", "-b", "two", cwd=project)

    assert shared_root(project / "one") == shared_root(project / "two") == str(project)
    assert root_of(project / "one") == str(project / "one")


def test_worktrees_of_a_lone_bare_repository_share_the_repository(repository: Path, tmp_path: Path) -> None:
    git("clone", "--bare", str(repository), "lone.git", cwd=tmp_path)
    git("worktree", "add", "../one", cwd=tmp_path / "lone.git")

    assert shared_root(tmp_path / "one") == str(tmp_path / "lone.git")


def test_a_submodule_is_a_repository_of_its_own(repository: Path, tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    git("init", cwd=module)
    git("commit", "--allow-empty", "-m", "first", cwd=module)
    git("-c", "protocol.file.allow=always", "submodule", "add", str(module), "inner", cwd=repository)

    assert shared_root(repository / "inner") == root_of(repository / "inner") == str(repository / "inner")


@pytest.mark.parametrize(
    "content", [b"", b"gitdir:", b"gitdir: /not/there\n", b"\xff\xfe\0", b"gitdir: \xff", b"gitdir: a\0b"]
)
def test_a_broken_git_file_is_no_worktree(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)

    assert shared_root(tmp_path) == root_of(tmp_path) == str(tmp_path)
