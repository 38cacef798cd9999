"""Every exit status, and every error's way out: one table, one file."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from latchboard import errors
from latchboard.compose import Latchboard
from latchboard.credential import errors as of_credentials
from latchboard.store.etcd import errors as of_etcd
from latchboard.surface.cli import catalogue, child, dispatch, failure
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb
from tests.surface.cli.harness import ROOT, Cli, validate

TABLE = (0, 1, 2, 3, 10, 11, 12, 13, 126, 127, 130)


def _kinds() -> list[type[errors.CoordinationError]]:
    found = [
        kind
        for module in (errors, of_credentials, of_etcd, failure, child)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, errors.CoordinationError)
    ]
    return sorted(set(found), key=lambda kind: kind.code)


def _raising(exc: BaseException) -> Verb:
    def run(call: Any) -> Answer:
        raise exc

    return Verb("check", run, summary="", examples=())


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.code)
@pytest.mark.parametrize("as_json", [False, True])
def test_every_error_has_its_status_and_its_words(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: type[errors.CoordinationError], as_json: bool
) -> None:
    exc = kind(15) if kind is failure.Interrupted else kind("it went wrong", hint="do it again")
    monkeypatch.setattr(catalogue, "load", lambda name: _raising(exc))

    answer = cli("check", *(["--json"] if as_json else []))

    assert answer.status == exc.exit_status
    if as_json:
        assert answer.json["code"] == kind.code
        assert answer.err == ""
        validate("error", answer.json)
    else:
        assert answer.out == ""
        assert answer.err.startswith("latchboard: ")
        assert "hint: do it again" in answer.err or kind in (failure.Interrupted, errors.LockHeld, errors.WaitEnded)


def test_every_code_and_status_is_in_the_contract() -> None:
    text = (ROOT / "protocol" / "cli.md").read_text(encoding="utf-8")

    for kind in _kinds():
        assert f"`{kind.code}`" in text, kind.code
    for status in TABLE:
        assert f"| {status} |" in text, status
    headings = ", ".join(line[4:] for line in text.splitlines() if line.startswith("### "))
    assert sorted(catalogue.VERBS) == sorted(headings.split(", "))


def test_our_own_mistake_is_one_line_and_not_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load", lambda name: _raising(ZeroDivisionError("by zero")))

    plain = cli("check")
    told = cli("check", LATCHBOARD_TRACEBACK="1")

    assert plain.status == 1
    assert plain.err.startswith("latchboard: a mistake in latchboard itself: ZeroDivisionError: by zero\n")
    assert "Traceback" not in plain.err
    assert "Traceback" in told.err


def test_interruption_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "load", lambda name: _raising(KeyboardInterrupt()))

    assert cli("check").status == 130
    assert cli("check", "--json").json["code"] == "interrupted"


def test_usage_errors_of_click_are_ours(cli: Cli) -> None:
    for words in (("check",), ("check", "--nonsense", "x"), ("nonsense",), ("acquire", "x", "--ttl-s", "x")):
        plain, as_json = cli(*words), cli(*words, "--json")

        assert (plain.status, as_json.status) == (2, 2)
        assert plain.err.startswith("latchboard: ")
        assert as_json.json["code"] == "usage"
        assert as_json.err == ""


def test_json_behind_the_double_dash_is_not_ours(cli: Cli) -> None:
    answer = cli("run", "--", "x", "--json")

    assert answer.out == ""
    assert answer.status == 2


def test_lost_lock_is_11_and_refusal_is_10_and_usage_is_2(cli: Cli) -> None:
    cli("acquire", "a", "--agent", "p")

    assert cli("acquire", "a", "--agent", "q").status == 10
    assert cli("release", "a", "--agent", "q").status == 11
    assert cli("acquire", "a\0b", "--agent", "q").status == 2
    assert cli("acquire", "", "--agent", "q").status == 2
    assert cli("acquire", "a", "--agent", " q").status == 2


def test_unknown_format_is_12(cli: Cli) -> None:
    cli("init")
    (cli.project / "data/.agent_locks/FORMAT").write_text('{"format":99,"store_id":"x"}\n')

    for words in (("check", "a"), ("acquire", "a", "--agent", "p"), ("status",), ("inbox", "--agent", "p")):
        answer = cli(*words, "--json")
        assert (answer.status, answer.json["code"]) == (12, "unsupported-version"), words


@pytest.mark.skipif(os.geteuid() == 0, reason="not applicable: root may write anywhere")
def test_folder_that_may_not_be_written_is_13(cli: Cli) -> None:
    cli.project.chmod(0o500)
    try:
        assert cli("acquire", "a", "--agent", "p", "--json").status == 13
    finally:
        cli.project.chmod(0o700)


def test_store_where_a_file_stands_is_13(cli: Cli) -> None:
    (cli.project / "data").write_text("")

    answer = cli("acquire", "a", "--agent", "p", "--json")

    assert answer.status == 13


def test_failure_to_publish_the_board_changes_no_status(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from latchboard.board import Board

    def fail(self: Board, *, wait_s_max: float = 1.0) -> bool:
        raise errors.StoreFull("no space left")

    monkeypatch.setattr(Board, "publish", fail)

    answer = cli("acquire", "a", "--agent", "p")

    assert answer.status == 0
    assert "status_board.json could not be written: no space left" in answer.err


def test_trouble_of_the_store_is_told_once(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from latchboard.locks.service import Locks

    def fail(self: Any, *given: Any, **named: Any) -> Any:
        raise errors.StoreFull("no space left")

    monkeypatch.setattr(Locks, "acquire", fail)
    monkeypatch.setattr("latchboard.board.Board.publish", fail)

    answer = cli("acquire", "a", "--agent", "p")

    assert (answer.status, answer.err) == (13, "latchboard: no space left\n")


def test_readers_publish_nothing(cli: Cli, tmp_path: Path) -> None:
    cli("acquire", "a", "--agent", "p")
    board = cli.project / "data/.agent_locks/status_board.json"
    board.unlink()

    for words in (
        ("check", "a"),
        ("status",),
        ("agents",),
        ("history",),
        ("handoff", "list", "--agent", "p"),
        ("inbox", "--peek", "--agent", "p"),
        ("inbox", "--thread", "t", "--agent", "p"),
        ("watch", "--after", "0", "--timeout-s", "0"),
        ("cleanup", "--dry-run"),
    ):
        assert cli(*words).status in (0, 10), words
        assert not board.exists(), words


def test_compose_of_the_command_line_publishes_once_at_the_end(cli: Cli) -> None:
    board = dispatch._compose(str(cli.project))

    assert isinstance(board, Latchboard)
    assert board._publisher is None
    board.close()
