from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_renewal_keeps_a_hold_alive(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    cli.clock.advance(3000)

    answer = cli("renew", "src/a.py", "--agent", "planner", "--json")
    cli.clock.advance(3000)

    assert (answer.status, answer.json["lost"]) == (0, [])
    assert cli("check", "src/a.py").status == 10


def test_expired_hold_does_not_come_back(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    cli.clock.advance(3601)

    assert cli.says("renew", "src/a.py", "--agent", "planner") == (
        "[11]\n"
        "planner renewed its lease for 1 h\n"
        "  does not hold src/a.py (any more): stop writing to it\n"
        "  read it again, then: latchboard acquire src/a.py --agent planner\n"
    )
    assert cli("check", "src/a.py").status == 0


def test_renewal_without_paths_renews_all(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    assert cli.says("renew", "--agent", "planner") == "planner renewed its lease for 1 h\n"


def test_still_held_is_said_with_the_token(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    assert "still holds src/a.py (token <token>)" in cli.says("renew", "src/a.py", "--agent", "planner")
