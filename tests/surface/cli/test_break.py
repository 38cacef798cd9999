from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_break_ends_the_hold_tells_the_holder_and_is_recorded(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "builder")
    cli.clock.advance(1800)

    assert cli.says("break", "src/a.py", "--agent", "operator", "--reason", "it hangs") == (
        "operator broke the lock of builder on src/a.py\n"
        "  it was held since 01:40:00Z (30 min ago), token <token>; builder has been told\n"
    )
    assert cli("check", "src/a.py").status == 0
    assert "it hangs" in cli("inbox", "--agent", "builder").out
    assert "operator broke the lock of builder on src/a.py: it hangs" in cli("history").out


def test_break_needs_a_reason(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "builder")

    answer = cli("break", "src/a.py", "--agent", "operator", "--json")

    assert (answer.status, answer.json["code"]) == (2, "usage")
    assert cli("check", "src/a.py").status == 10


def test_newer_hold_than_the_one_meant_is_left_alone(cli: Cli) -> None:
    token = cli("acquire", "src/a.py", "--agent", "builder", "--json").json["token"]

    answer = cli("break", "src/a.py", "--agent", "operator", "--reason", "x", "--token", str(token - 1), "--json")

    assert answer.status == 10
    assert answer.json["newest"] == token
    assert cli("check", "src/a.py").status == 10


def test_nobody_holds_it(cli: Cli) -> None:
    said = cli.says("break", "src/a.py", "--agent", "operator", "--reason", "x")

    assert said == "src/a.py is held by nobody; nothing was changed\n"


def test_break_is_the_way_out_of_a_record_that_cannot_be_read(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "builder")
    record = next((cli.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{", encoding="utf-8")
    assert cli("acquire", "src/a.py", "--agent", "planner").status == 12

    answer = cli("break", "src/a.py", "--agent", "operator", "--reason", "torn by hand", "--json")

    assert answer.status == 0
    assert answer.json["damaged"]
    assert cli("acquire", "src/a.py", "--agent", "planner").status == 0
