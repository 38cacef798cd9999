from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_agents_are_listed_with_their_last_sign_of_life(cli: Cli) -> None:
    cli("update", "splitting the parser", "src/a.py", "--agent", "planner")
    cli.clock.advance(301)
    cli("acquire", "src/b.py", "--agent", "builder")

    said = cli.says("agents")

    assert "planner  splitting the parser  src/a.py" in said
    assert "5 min ago, quiet  dead" in said
    assert "never" in said


def test_json_lists_them_sorted(cli: Cli) -> None:
    cli("update", "b", "--agent", "b")
    cli("update", "a", "--agent", "a")

    assert [one["agent"] for one in cli("agents", "--json").json["agents"]] == ["a", "b"]
    assert [one["agent"] for one in cli("agents", "--agent", "a", "--json").json["agents"]] == ["a"]


def test_nobody_is_said_in_words(cli: Cli) -> None:
    assert cli.says("agents") == "no agent has said anything here, and none holds anything\n"


def test_nothing_of_one_agent_is_not_said_of_all(cli: Cli) -> None:
    cli("acquire", "src/b.py", "--agent", "builder")

    assert cli.says("agents", "--agent", "stranger") == "stranger has said nothing here, and holds nothing\n"
