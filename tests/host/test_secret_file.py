from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from latchboard.errors import StoreError, StoreForbidden, UnsafeFolder
from latchboard.host.secret_file import BYTES_MAX, SecretFile


@pytest.fixture
def file(tmp_path: Path) -> SecretFile:
    return SecretFile(str(tmp_path / "deep" / "own" / "x.json"))


def put(file: SecretFile, data: bytes) -> bool:
    return file.replace(lambda: data, still=lambda: True)


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_replace_and_read_with_the_modes_of_a_secret(file: SecretFile) -> None:
    assert file.read() is None

    for umask in (0o000, 0o277):
        before = os.umask(umask)
        try:
            assert put(file, b"one")
        finally:
            os.umask(before)
        assert file.read() == b"one"
        assert (mode(file.path), mode(os.path.dirname(file.path))) == (0o600, 0o700)
    assert sorted(os.listdir(os.path.dirname(file.path))) == ["x.json", "x.json.guard"]


def test_what_is_not_expected_is_not_replaced(file: SecretFile) -> None:
    put(file, b"one")

    assert not file.replace(lambda: b"two", still=lambda: file.read() == b"three")
    assert file.read() == b"one"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o602])
def test_file_that_others_can_read_or_write_is_refused(file: SecretFile, bits: int) -> None:
    put(file, b"one")
    os.chmod(file.path, bits)

    with pytest.raises(StoreForbidden, match=f"mode {bits:04o}") as told:
        file.read()
    assert "chmod 600" in told.value.hint


@pytest.mark.parametrize("plant", [lambda p: os.symlink("/dev/null", p), os.mkdir, os.mkfifo])
@pytest.mark.parametrize("suffix", ["", ".guard"])
def test_what_is_planted_in_its_place_is_refused(file: SecretFile, plant: Callable[[str], None], suffix: str) -> None:
    put(file, b"one")
    os.unlink(file.path + suffix)
    plant(file.path + suffix)

    with pytest.raises(StoreError):
        file.replace(lambda: b"two", still=lambda: file.read() is not None)
    if not suffix:
        with pytest.raises(StoreError):
            file.read()


def test_planted_temporary_file_is_not_written_through(file: SecretFile, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    put(file, b"one")
    os.symlink(victim, f"{file.path}.tmp")

    put(file, b"two")

    assert victim.read_text(encoding="utf-8") == "mine"
    assert file.read() == b"two"


def test_folder_that_others_can_write_to_is_refused(file: SecretFile) -> None:
    folder = Path(file.path).parent
    folder.mkdir(parents=True)
    folder.chmod(0o777)

    with pytest.raises(UnsafeFolder, match="other users can replace"):
        put(file, b"one")
    assert list(folder.iterdir()) == []


def test_file_that_is_too_large_is_refused(file: SecretFile) -> None:
    put(file, b"x" * (BYTES_MAX + 1))

    with pytest.raises(UnsafeFolder, match="larger"):
        file.read()


def test_leftover_of_a_killed_writer_is_removed(file: SecretFile) -> None:
    put(file, b"one")
    leftover = Path(f"{file.path}.tmp")
    leftover.write_bytes(b"half")

    put(file, b"two")

    assert not leftover.exists()


def test_of_many_writers_each_sees_what_the_one_before_wrote(file: SecretFile) -> None:
    put(file, b"0")
    start = threading.Barrier(8)

    def add() -> None:
        start.wait()
        for _ in range(25):
            while True:
                seen = file.read() or b""
                text = str(int(seen) + 1).encode()
                if file.replace(lambda text=text: text, still=lambda seen=seen: file.read() == seen):  # type: ignore[misc]
                    break

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert file.read() == b"200"


@pytest.mark.needs_tool("strace")
@pytest.mark.process
def test_killed_at_any_system_call_it_is_the_old_one_or_the_new_one(file: SecretFile, tmp_path: Path) -> None:
    program = (
        "import sys; from latchboard.host.secret_file import SecretFile; "
        "SecretFile(sys.argv[1]).replace(lambda: b'new' * 100, still=lambda: True)"
    )
    calls = ("openat", "flock", "unlink", "fchmod", "write", "fsync", "rename", "close")
    outcomes, kills = set(), dict.fromkeys(calls, 0)
    for call in calls:
        put(file, b"old")
        for when in range(1, 40):
            inject = f"inject={call}:signal=SIGKILL:when={when}"
            only = ["-P", file.path, "-P", f"{file.path}.tmp", "-P", f"{file.path}.guard"]
            command = ["strace", "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}", *only, "-e", inject]
            done = subprocess.run(
                [*command, sys.executable, "-c", program, file.path], check=False, capture_output=True
            )
            found = file.read()
            assert found in (b"old", b"new" * 100), (call, when, found)
            outcomes.add(found)
            if done.returncode == 0:
                break
            kills[call] += 1
    assert outcomes == {b"old", b"new" * 100}
    assert all(kills.values()), kills
    assert put(file, b"after")
    assert sorted(os.listdir(os.path.dirname(file.path))) == ["x.json", "x.json.guard"]


def test_what_stands_where_the_folder_belongs_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    for folder in ("file/own", "file", "dangling"):
        with pytest.raises(StoreError):
            put(SecretFile(str(tmp_path / folder / "x.json")), b"one")
