"""Staging fails clearly, leaves nothing behind and nothing open."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latchboard import errors
from latchboard.host.tree import WorkTree


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "x.py"
    made.write_bytes(b"old")
    return made


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


FAILURES = [
    (errno.ENOSPC, errors.StoreFull),
    (errno.EDQUOT, errors.StoreFull),
    (errno.EROFS, errors.StoreReadOnly),
    (errno.EACCES, errors.StoreForbidden),
    (errno.EMFILE, errors.TooManyFiles),
    (errno.EIO, errors.StoreUnavailable),
]


@pytest.mark.parametrize("call", ["write", "fdatasync", "posix_fallocate", "fchmod"])
@pytest.mark.parametrize(("code", "kind"), FAILURES)
def test_a_failure_while_staging_is_typed_and_leaves_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[errors.StoreError]
) -> None:
    if not hasattr(os, call):
        pytest.skip(f"not applicable: no {call} here")
    tree, before = WorkTree(file.parent), open_descriptors()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(kind, match=r"x\.py"):
            tree.stage("x.py", b"new")

    assert os.listdir(file.parent) == ["x.py"]
    assert file.read_bytes() == b"old"
    assert open_descriptors() == before


@pytest.mark.parametrize(("code", "kind"), FAILURES)
def test_a_failure_while_publishing_keeps_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[errors.StoreError]
) -> None:
    before = open_descriptors()
    staged = WorkTree(file.parent).stage("x.py", b"new")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(kind, match=r"cannot replace .*x\.py"):
            staged.publish()

    assert os.listdir(file.parent) == ["x.py"]
    assert file.read_bytes() == b"old"
    assert open_descriptors() == before


def test_a_short_write_is_written_to_its_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))

    WorkTree(file.parent).stage("x.py", b"0123456789" * 10).publish()

    assert file.read_bytes() == b"0123456789" * 10


def test_a_file_system_without_fallocate_will_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)

    WorkTree(file.parent).stage("x.py", b"new").publish()

    assert file.read_bytes() == b"new"


def test_an_interrupt_while_staging_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            WorkTree(file.parent).stage("x.py", b"new")

    assert os.listdir(file.parent) == ["x.py"]
    assert open_descriptors() == before


def test_what_somebody_else_tidied_up_is_a_clear_error(file: Path) -> None:
    staged = WorkTree(file.parent).stage("x.py", b"new")
    for name in os.listdir(file.parent):
        if name != "x.py":
            (file.parent / name).unlink()

    with pytest.raises(errors.StoreError):
        staged.publish()

    assert file.read_bytes() == b"old"


def test_a_planted_link_is_not_followed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    victim = file.parent / "victim"
    victim.write_bytes(b"precious")
    (file.parent / f".x.py.latchboard-{'0' * 16}.tmp").symlink_to("victim")

    with pytest.raises(errors.StoreError):
        WorkTree(file.parent).stage("x.py", b"new")

    assert victim.read_bytes() == b"precious"


@pytest.mark.process
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path, require: Callable[[object, str], None]) -> None:
    require(os.geteuid() == 0, "may not change its user")
    os.chmod(tmp_path, 0o777)
    (tmp_path / "x.py").write_bytes(b"old")
    code = (
        "import os, sys; from latchboard.host import staged; from latchboard.host.tree import WorkTree;"
        "from latchboard.errors import StoreForbidden; os.chdir(sys.argv[1]);"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534);\n"
        "try: WorkTree('.').stage('x.py', b'new').publish()\n"
        "except StoreForbidden: print('refused')"
    )

    # The folders of pytest are closed to others: the child is inside before it gives up its rights.
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("refused\n", "")
    assert (tmp_path / "x.py").read_bytes() == b"old"


@pytest.fixture
def small_disk(tmp_path: Path, require: Callable[[object, str], None]) -> Iterator[Path]:
    require(os.geteuid() == 0 and sys.platform == "linux", "may not mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    require(subprocess.run(mount, capture_output=True, check=False, timeout=60).returncode == 0, "cannot mount tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=60)


@pytest.mark.process
def test_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    (small_disk / "x.py").write_bytes(b"old")

    with pytest.raises(errors.StoreFull):
        WorkTree(small_disk).stage("x.py", b"x" * 1_000_000)

    assert os.listdir(small_disk) == ["x.py"]
    assert (small_disk / "x.py").read_bytes() == b"old"
