"""What a daemon says before it is ready, and to whom."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from latchboard.daemon.readiness import LINE_BYTES_MAX, Readiness
from latchboard.errors import UsageError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def test_one_line_and_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    Readiness(writer, {}).tell_ready({"port": 9400})

    assert os.read(reader, 65536) == b'{"ready":{"port":9400}}\n'
    assert os.read(reader, 1) == b""


def test_who_dies_without_a_word_is_an_end_without_a_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    readiness = Readiness(writer, {})

    readiness.close()
    readiness.close()

    assert os.read(reader, 1) == b""


def test_a_refusal_that_is_too_long_for_a_pipe_is_cut_and_still_one_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    Readiness(writer, {}).tell_refused({"code": "x", "message": "m" * 9000, "hint": "h", "more": ["y"] * 9000})

    line = os.read(reader, 65536)
    assert len(line) <= LINE_BYTES_MAX
    assert json.loads(line)["refused"]["code"] == "x"


def test_a_spawner_that_is_gone_or_does_not_read_changes_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Readiness(writer, {}).tell_ready({"port": 9400})

    reader, writer = pipe
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    Readiness(writer, {}).tell_ready({"port": 9400})


def test_the_pipe_is_not_inherited(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    os.set_inheritable(writer, True)

    readiness = Readiness(writer, {})

    assert fcntl.fcntl(writer, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    readiness.close()


@pytest.mark.parametrize("fd", [-1, 10**6, 2**40])
def test_what_is_not_open_is_refused(fd: int) -> None:
    with pytest.raises(UsageError, match="is not open"):
        Readiness(fd, {})


def test_what_is_no_pipe_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file, pytest.raises(UsageError, match="is no pipe"):
        Readiness(file.fileno(), {})


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_service_manager_is_told(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"\0latchboard-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(name)
        manager.settimeout(60)
        readiness = Readiness(None, {"NOTIFY_SOCKET": name.replace("\0", "@")})

        readiness.tell_ready({"port": 9400})
        readiness.tell_stopping()

        assert manager.recv(4096) == b"READY=1\nSTATUS=port 9400"
        assert manager.recv(4096) == b"STOPPING=1"


def test_a_manager_that_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with (
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other,
    ):
        manager.bind(name)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"x", name)

        Readiness(None, {"NOTIFY_SOCKET": name}).tell_stopping()


def test_a_manager_that_cannot_be_told_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Readiness(None, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell_ready({"port": 9400})

    assert "daemon.notify_failed" in caplog.text
