"""Compiled files of the package: found as Python finds them, made where they are missing."""

from __future__ import annotations

import os
import py_compile
import shutil
from pathlib import Path

import pytest

from latchboard.host.compiled import EVERY_HOOK, Compiled
from tests.process.test_hook_cost import OURS
from tests.tidy.tree import PACKAGE


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """As much of a package as every hook loads, without a compiled file."""
    folder = tmp_path / "latchboard"
    for name in EVERY_HOOK:
        source = folder / f"{name}.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / f"{name}.py", source)
    return folder


def compiled(package: Path) -> Compiled:
    files = Compiled(str(package))
    assert files.compile(files.missing()) == []
    return files


def test_what_is_looked_at_is_what_every_hook_loads() -> None:
    modules = {f"latchboard.{name}".replace("/", ".").removesuffix(".__init__") for name in EVERY_HOOK}

    assert modules <= OURS
    assert Compiled().folder == str(PACKAGE)


def test_nothing_is_compiled_then_everything_is(package: Path) -> None:
    files = Compiled(str(package))
    assert files.lacks_hooks()
    assert files.missing() == sorted(str(path) for path in package.rglob("*.py"))
    assert files.can_be_kept(files.missing())

    compiled(package)

    assert not files.lacks_hooks()
    assert files.missing() == []
    assert len(list(package.rglob("*.pyc"))) == len(EVERY_HOOK)


@pytest.mark.parametrize("how", ["another time", "another size", "another Python", "cut short"])
def test_a_stale_one_is_none(package: Path, how: str) -> None:
    files = compiled(package)
    source = package / "rules/lock.py"
    cache = next((package / "rules/__pycache__").glob("lock.*.pyc"))
    status, data = source.stat(), cache.read_bytes()
    if how == "another time":
        os.utime(source, (status.st_atime, status.st_mtime - 10))
    elif how == "another size":
        source.write_text(source.read_text() + "# more\n")
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        cache.write_bytes(b"\0\0\0\0" + data[4:] if how == "another Python" else data[:15])

    assert files.missing() == [str(source)]
    assert files.lacks_hooks()


def test_one_that_is_checked_by_hash_is_one(package: Path) -> None:
    files = compiled(package)
    source = package / "rules/lock.py"
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    os.utime(source, (0, 0))

    assert files.missing() == []


def test_where_nothing_can_be_written_each_is_named_with_its_reason(package: Path) -> None:
    (package / "rules/__pycache__").write_text("in the way")
    files = Compiled(str(package))
    assert not files.can_be_kept(files.missing())

    (failed,) = files.compile(files.missing())

    assert failed.startswith(f"{package}/rules/lock.py: ")
    assert files.missing() == [str(package / "rules/lock.py")]


def test_a_source_that_is_no_python_is_named_and_the_others_are_compiled(package: Path) -> None:
    broken = package / "rules/lock.py"
    broken.write_text("def (:\n")
    files = Compiled(str(package))

    (failed,) = files.compile(files.missing())

    assert failed.startswith(f"{broken}: ")
    assert files.missing() == [str(broken)]


def test_time_and_size_are_looked_at_though_a_build_asks_for_hashes(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")

    compiled(package)

    assert {path.read_bytes()[4:8] for path in package.rglob("*.pyc")} == {b"\0\0\0\0"}


def test_a_package_in_an_archive_has_nothing_to_compile(tmp_path: Path) -> None:
    files = Compiled(str(tmp_path / "archive.zip/latchboard"))

    assert not files.lacks_hooks()
    assert files.missing() == []
