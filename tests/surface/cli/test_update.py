from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_update_is_seen_on_the_board(cli: Cli) -> None:
    assert (
        cli.says("update", "splitting", "src/../src/a.py", "--agent", "planner") == "planner: splitting on src/a.py\n"
    )

    entry = cli("status", "--json").json["agents"]["planner"]
    assert (entry["status"], entry["files"], entry["quiet"]) == ("splitting", ["src/a.py"], False)


def test_update_renews_the_lease(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    cli.clock.advance(3000)
    cli("update", "still at it", "--agent", "planner")
    cli.clock.advance(3000)

    assert cli("check", "src/a.py").status == 10


def test_update_needs_an_agent(cli: Cli) -> None:
    answer = cli("update", "splitting", "--json")

    assert (answer.status, answer.json["code"]) == (2, "usage")
