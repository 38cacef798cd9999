"""Where the project is, and what a path of a client stands for in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from latchboard.errors import UsageError
from latchboard.surface.mcp import project as projects


def made(folder: Path) -> Path:
    (folder / ".git").mkdir(parents=True)
    return folder.resolve()


def test_named_wins_then_the_first_root_of_the_client_that_is_in_a_project_then_the_current_folder(
    tmp_path: Path,
) -> None:
    named, offered, current = (made(tmp_path / name) for name in ("named", "of fered", "current"))
    (offered / "sub").mkdir()
    uris = [
        "https://example.org/x",
        "file:///no/such/folder",
        "nonsense",
        tmp_path.as_uri(),
        (offered / "sub").as_uri(),
    ]

    assert projects.find(str(named), uris, [str(current)]).root == str(named)
    assert projects.find(None, uris, [str(current)]).root == str(offered)
    assert projects.find(None, uris[:3], ["", str(current)]).root == str(current)
    assert projects.find(None, [], [str(offered), str(current)]).root == str(offered)
    with pytest.raises(UsageError, match="no project here"):
        projects.find(None, uris[:4], [str(tmp_path)])
    with pytest.raises(UsageError, match="is no folder"):
        projects.find(str(tmp_path / "missing"), uris, [str(current)])


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///a/b%20c", "/a/b c"),
        ("file://localhost/a", "/a"),
        ("file://elsewhere/a", ""),
        ("file:///a%00b", ""),
        ("http:///a", ""),
        ("file:relative", ""),
        ("file://[", ""),
    ],
)
def test_a_root_of_a_client_is_a_file_uri_of_this_machine(uri: str, folder: str) -> None:
    assert projects.folder_of(uri) == folder


@pytest.mark.process
@pytest.mark.needs_tool("git")
def test_a_work_tree_that_shares_the_board_speaks_of_the_same_files(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
        subprocess.run(command, cwd=main, check=True, capture_output=True)

    main, linked = tmp_path.resolve() / "main", tmp_path.resolve() / "linked"
    main.mkdir()
    git("init", "-q")
    (main / "latchboard.toml").write_text("worktrees_shared = true\n")
    git("add", ".")
    git("commit", "-qm", "x")
    git("worktree", "add", "-q", str(linked))

    found = projects.find(None, [], [str(linked)])

    assert found.root == str(main)
    assert found.paths([f"{linked}/src/a.py", "src/b.py", f"{linked}x/c", "glob:*.py"]) == [
        f"{main}/src/a.py",
        "src/b.py",
        f"{linked}x/c",
        "glob:*.py",
    ]
    assert os.path.isdir(found.own)
