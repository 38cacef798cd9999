from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from latchboard.errors import UsageError
from latchboard.surface.demo.project import PACKAGE, Source, find_source


def write(folder: Path, name: str, size: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"#" * size)


def test_own_sources_are_real_files_and_none_of_the_demo_is_edited() -> None:
    source = find_source()

    busy = source.busy_files(3)

    assert len(busy) == 3
    assert all(name.startswith(("src/latchboard/", "latchboard/")) and "demo" not in name for name in busy)
    assert all((source.folder / name).is_file() for name in source.names)


def test_copy_has_the_same_bytes(tmp_path: Path) -> None:
    source = find_source()

    source.copy(tmp_path / "copy")

    copied = sorted(path for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "copy").as_posix() for path in copied] == sorted(source.names)
    assert all(
        path.read_bytes() == (source.folder / path.relative_to(tmp_path / "copy")).read_bytes() for path in copied
    )


def test_repository_of_the_user_gives_its_tracked_files(tmp_path: Path) -> None:
    write(tmp_path, "a.py", 900)
    write(tmp_path, "secret.py", 900)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "a.py"], cwd=tmp_path, check=True)

    assert find_source(str(tmp_path)).names == ["a.py"]


def test_folder_without_a_repository_gives_all_but_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, "src/a.py", 900)
    write(tmp_path, ".cache/b.py", 900)
    (tmp_path / "link.py").symlink_to(tmp_path / "src/a.py")

    assert find_source(str(tmp_path)).names == ["src/a.py"]


def test_largest_sources_are_edited_and_tests_only_when_there_is_nothing_else(tmp_path: Path) -> None:
    for name, size in (("tests/a.py", 9000), ("b.py", 700), ("c.py", 800), ("d.md", 9000), ("tiny.py", 10)):
        write(tmp_path, name, size)
    (tmp_path / "e.py").write_bytes(b"\0" * 5000)
    source = Source(tmp_path, ["b.py", "c.py", "d.md", "e.py", "tests/a.py", "tiny.py"], "here")

    assert source.busy_files(2) == ["b.py", "c.py"]
    assert source.busy_files(9) == ["b.py", "c.py", "d.md", "tests/a.py"]


def test_folder_with_nothing_to_edit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no source file to edit"):
        find_source(str(tmp_path)).busy_files(3)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        find_source(str(tmp_path / "nowhere"))


def test_package_is_the_one_that_runs() -> None:
    import latchboard

    assert latchboard.__file__ is not None
    assert Path(latchboard.__file__).parent == PACKAGE
