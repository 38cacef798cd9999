"""The state record and the token as files: whole or not at all, readable by whom they are for, and distrusted."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from latchboard.daemon.state import RECORD_BYTES_MAX, StateFile, Token
from latchboard.errors import StoreError, StoreForbidden
from latchboard.rules.serving import State

PROCESS = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 4242, "start": 99}
STATE = State(PROCESS, port=9400, version="0.1.0", started_at="2026-11-21T11:24:21.540466Z")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / ".agent_pids").mkdir(parents=True)
    return tmp_path


def file(root: Path, name: str = "serve.state") -> Path:
    return root / "data" / ".agent_pids" / name


def test_what_is_written_is_read_and_removed(root: Path) -> None:
    states = StateFile(str(root))
    assert states.read() is None and states.read_bytes() is None

    states.write(STATE)

    assert states.read() == STATE
    assert json.loads(file(root).read_text()) == STATE.to_json()
    states.write(State(PROCESS, port=9401, version="0.1.0", started_at="now"))
    assert states.read() != STATE
    states.remove()
    states.remove()
    assert states.read() is None
    assert os.listdir(file(root).parent) == []


def test_what_a_killed_writer_left_is_in_nobodys_way(root: Path) -> None:
    file(root, "serve.state.tmp").symlink_to(root / "elsewhere")

    StateFile(str(root)).write(STATE)

    assert StateFile(str(root)).read() == STATE
    assert not (root / "elsewhere").exists()


def test_a_record_that_cannot_be_written_leaves_the_old_one(root: Path) -> None:
    states = StateFile(str(root))
    states.write(STATE)
    file(root, "serve.state.tmp").mkdir()

    with pytest.raises(StoreError):
        states.write(State(PROCESS, port=9401, version="0.1.0", started_at="now"))

    assert states.read() == STATE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (RECORD_BYTES_MAX + 1),
        b'{"schema_version":1}',
        json.dumps(STATE.to_json()).encode() + b" " * RECORD_BYTES_MAX,
    ],
)
def test_garbage_says_nothing(root: Path, content: bytes) -> None:
    file(root).write_bytes(content)

    assert StateFile(str(root)).read() is None


def test_what_is_no_file_says_nothing_and_is_not_followed(root: Path) -> None:
    (root / "elsewhere").write_text(json.dumps(STATE.to_json()))
    file(root).symlink_to(root / "elsewhere")
    assert (StateFile(str(root)).read(), StateFile(str(root)).read_bytes()) == (None, b"")

    file(root).unlink()
    file(root).mkdir()
    assert (StateFile(str(root)).read(), StateFile(str(root)).read_bytes()) == (None, b"")

    file(root).rmdir()
    os.mkfifo(file(root))
    assert StateFile(str(root)).read() is None, "and it does not wait for a writer"
    assert StateFile(str(root / "nowhere")).read_bytes() is None


def test_a_token_is_made_once_for_its_user_alone(root: Path) -> None:
    made: list[int] = []
    token = Token(str(root), lambda: made.append(1))
    assert token.read() is None

    text = token.ensure()

    assert len(text) == 64 and int(text, 16) >= 0
    assert Token(str(root), lambda: made.append(1)).ensure() == text == token.read()
    assert stat.S_IMODE(file(root, "serve.token").stat().st_mode) == 0o600
    assert made == [1]


def test_of_two_that_make_a_token_at_once_both_have_the_one_that_was_first(root: Path) -> None:
    first = Token(str(root), lambda: None)
    made: list[str] = []
    second = Token(str(root), lambda: made.append(first.ensure()))

    assert [second.ensure()] == made == [first.read()]


@pytest.mark.parametrize("content", ["", "short", "z" * 64, "a" * 63, "A" * 64, "a" * 64 + "b"])
def test_what_can_be_no_token_is_replaced(root: Path, content: str) -> None:
    file(root, "serve.token").write_text(content)
    file(root, "serve.token").chmod(0o600)
    token = Token(str(root), lambda: None)
    assert token.read() is None

    assert token.ensure() != content


def test_a_token_that_others_can_read_is_refused(root: Path) -> None:
    Token(str(root), lambda: None).ensure()
    file(root, "serve.token").chmod(0o640)

    with pytest.raises(StoreForbidden):
        Token(str(root), lambda: None).ensure()
