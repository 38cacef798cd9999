"""What can be seen of a container, from a file system of one's own; nothing raises."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from latchboard.host.container import surroundings
from latchboard.rules import container


def test_bare_root_has_nothing(tmp_path: Path) -> None:
    found = surroundings(str(tmp_path / "project"), {}, top=f"{tmp_path}/")

    assert {**found, "uid": 1000} == {
        "root": str(tmp_path / "project"),
        "has_config_folder": False,
        "has_socket": False,
        "uid": 1000,
        "environment": {},
        "init_environment": {},
        "has_dockerenv": False,
        "has_containerenv": False,
        "cgroups": [],
    }
    assert found["uid"] == os.getuid()


def test_each_piece_of_evidence_is_seen(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".containerenv").touch()
    for who, text in (("self", "0::/docker/1\n"), ("1", "0::/\n")):
        (tmp_path / "proc" / who).mkdir(parents=True)
        (tmp_path / "proc" / who / "cgroup").write_text(text)
    (tmp_path / "proc" / "1" / "environ").write_bytes(b"container=podman\0A=b=c\0\xff\0nothing\0")
    (tmp_path / "data" / ".agent_locks").mkdir(parents=True)

    found = surroundings(str(tmp_path), {"IS_SANDBOX": "1"}, top=f"{tmp_path}/")

    assert found["has_dockerenv"]
    assert found["has_containerenv"]
    assert found["has_config_folder"]
    assert found["cgroups"] == ["0::/", "0::/docker/1"]
    assert found["init_environment"] == {"container": "podman", "A": "b=c"}
    assert found["environment"] == {"IS_SANDBOX": "1"}


@pytest.mark.parametrize("place", [".venv/s", ".venv/run/s", "venv/s", ".devcontainer/s", "data/s", "data/x/s"])
def test_socket_in_the_projects_environment_is_seen(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    assert not surroundings(str(tmp_path), {})["has_socket"]

    monkeypatch.chdir((tmp_path / place).parent)  # a socket's path has a small limit
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        assert surroundings(str(tmp_path), {})["has_socket"]


@pytest.mark.parametrize("place", ["s", "src/s", ".venv/a/b/s"])
def test_socket_anywhere_else_says_nothing(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir((tmp_path / place).parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        assert not surroundings(str(tmp_path), {})["has_socket"]


def test_large_folder_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(600):
        (tmp_path / "data" / f"f{number}").touch()

    assert not surroundings(str(tmp_path), {})["has_socket"]


@pytest.mark.parametrize("root", ["", "/", "a\0b", "/none/at/all", "\udcff", "x" * 5000])
def test_nothing_raises(root: str) -> None:
    listed = container.indicators(surroundings(root))

    assert container.score(listed) >= 0
