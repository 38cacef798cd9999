"""Shell: which locked files a command line would write, in a real repository."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from latchboard import Latchboard

if TYPE_CHECKING:
    from pathlib import Path


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two branches: on `topic`, `src/a.py` is another one and `new.py` is there."""
    tmp_path = tmp_path_factory.mktemp("pattern")
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "src" / name).write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "switch", "-qc", "topic")
    (tmp_path / "src/a.py").write_text("two\n")
    (tmp_path / "new.py").write_text("new\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "two")
    git(tmp_path, "switch", "-q", "main")
    return tmp_path


@pytest.fixture
def root(pattern: Path, tmp_path: Path) -> Path:
    """A copy for each test."""
    return shutil.copytree(pattern, tmp_path, symlinks=True, dirs_exist_ok=True)


@pytest.fixture
def board(root: Path) -> Latchboard:
    board = Latchboard(root, publishes=False)
    board.editing.begin("A", ["src/a.py", "src/b.py", "new.py", "lib/x"])
    return board


def seen(board: Latchboard, command: str, folder: str = "") -> list[str]:
    return sorted(board.shell.writes(command, f"{board.root}/{folder}".rstrip("/")))


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("echo > src/a.py", ["src/a.py"]),
        ("cd src && sed -i s/a/b/ a.py", ["src/a.py"]),
        ("rm -rf src", ["src/"]),
        ("rm src/*.py", ["src/a.py", "src/b.py"]),
        ("cp other/a.py src", ["src/a.py"]),
        ("cp other/a.py src/b.py", ["src/b.py"]),
        ("cp -r other src", []),
        ("mv x lib/", ["lib/x"]),
        ("echo > free.py", []),
        ("echo > src", []),
        ("echo > ../elsewhere", []),
        ("git checkout topic", ["new.py", "src/a.py"]),
        ("git switch topic", ["new.py", "src/a.py"]),
        ("git checkout -b fresh", []),
        ("git checkout nowhere", []),
        ("git checkout topic -- src/b.py", []),
        ("git checkout topic -- src", ["src/a.py"]),
        ("git checkout src/a.py", []),
        ("git merge topic", ["new.py", "src/a.py"]),
        ("git cherry-pick topic", ["new.py", "src/a.py"]),
        ("git reset --hard", []),
        ("git reset --hard topic", ["new.py", "src/a.py"]),
        ("git rebase topic", ["new.py", "src/a.py"]),
        ("git stash", []),
        ("git stash pop", []),
        ("git pull", []),
        ("git status", []),
        ("git -C src rm b.py", ["src/b.py"]),
    ],
)
def test_what_is_seen_before_it_runs(board: Latchboard, command: str, names: list[str]) -> None:
    assert seen(board, command) == names


@pytest.mark.parametrize(
    "command", ["git stash", "git checkout -- src/a.py", "git checkout src/a.py", "git restore .", "git reset --hard"]
)
def test_what_has_been_edited_and_would_be_put_back(board: Latchboard, root: Path, command: str) -> None:
    (root / "src/a.py").write_text("edited\n")

    assert seen(board, command) == ["src/a.py"]
    assert seen(board, command.replace("src/", "").replace("restore .", "restore ."), "src") == ["src/a.py"]


def test_what_a_stash_has_and_what_is_not_tracked(board: Latchboard, root: Path) -> None:
    (root / "src/a.py").write_text("edited\n")
    (root / "new.py").write_text("not tracked\n")

    assert seen(board, "git clean -f") == ["new.py"]
    assert seen(board, "git clean -n") == []
    assert seen(board, "git stash -u") == ["new.py", "src/a.py"]
    git(root, "stash", "-u")
    assert seen(board, "git stash pop") == ["new.py", "src/a.py"]
    assert seen(board, "git stash list") == []


def test_what_a_stash_keeps_is_not_written(board: Latchboard, root: Path) -> None:
    (root / "src/a.py").write_text("staged\n")
    git(root, "add", "src/a.py")
    (root / "src/b.py").write_text("edited\n")

    assert seen(board, "git stash") == ["src/a.py", "src/b.py"]
    assert seen(board, "git stash -k") == seen(board, "git stash -k", "src") == ["src/b.py"]


def test_a_branch_that_is_up_to_date_is_not_rebased(board: Latchboard, root: Path) -> None:
    git(root, "switch", "-q", "topic")

    assert seen(board, "git rebase main") == []
    assert seen(board, "git switch main") == ["new.py", "src/a.py"]


def test_what_a_patch_names(board: Latchboard, root: Path) -> None:
    (root / "src/a.py").write_text("edited\n")
    diff = subprocess.run(["git", "diff"], cwd=root, check=True, capture_output=True).stdout
    (root / "d.patch").write_bytes(diff)

    assert seen(board, "git apply d.patch") == ["src/a.py"]
    assert seen(board, "git apply --check d.patch") == []
    assert seen(board, "git apply nowhere.patch") == []


def test_where_there_is_no_repository_git_says_nothing(tmp_path: Path) -> None:
    board = Latchboard(tmp_path, publishes=False)
    board.editing.begin("A", ["a"])

    assert board.shell.writes("git stash; git checkout main; rm a", str(tmp_path)) == ["a"]
    assert board.shell.writes("git stash", str(tmp_path / "nowhere")) == []


def test_a_pattern_or_a_folder_that_is_held_covers_what_is_in_it(root: Path) -> None:
    board = Latchboard(root, publishes=False)
    board.agent("A").lock("lib/", wait_s_max=0)
    board.agent("A").lock("glob:doc/*.md", wait_s_max=0)

    assert board.shell.writes("rm lib/x doc/y.md doc/z.py", str(root)) == ["lib/x", "doc/y.md"]


def test_who_holds_it_is_said_by_blocked(board: Latchboard) -> None:
    names = board.shell.writes("git checkout topic", board.root)

    (one, *_) = board.editing.blocked("B", names)

    assert one["agent"] == "A"
    assert board.editing.blocked("A", names) == []
