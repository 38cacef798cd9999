from __future__ import annotations

import pytest

from tests.surface.cli.harness import Cli


def test_a_verb_with_verbs_below_it_is_both(cli: Cli) -> None:
    """`agents` lists the agents, `agents status` looks at workers; help shows the way from the one to the other."""
    assert cli("agents", "--json").json["agents"] == []
    assert cli("agents", "status", "--json").status == 3
    helped = cli("agents", "--help").out

    assert "List the agents" in helped
    for verb in ("start", "stop", "restart", "status"):
        assert f"\n  {verb} " in helped


@pytest.mark.parametrize("words", [["--json", "start"], ["--agent", "a", "stop"]])
def test_an_option_before_the_verb_below_is_refused_and_not_lost(cli: Cli, words: list[str]) -> None:
    answer = cli("agents", *words)

    assert answer.status == 2
    assert "put it behind the verb: latchboard agents st" in answer.out + answer.err


def test_five_roles_are_shown_where_nothing_is_configured(cli: Cli) -> None:
    answer = cli("agents", "status")

    assert answer.status == 3
    for role in ("planner", "builder", "tester", "refiner", "integrator"):
        assert f"  {role} " in answer.out
    assert answer.out.count("not configured") == 5
    assert answer.out.startswith("supervisor: none\n")


@pytest.mark.parametrize(
    "words",
    [
        ["start"],
        ["start", "builder"],
        ["start", "A b"],
        ["stop", "A b"],
        ["status", "A b"],
        ["start", "builder", "--count", "65"],
        ["start", "builder", "--count", "-1"],
        ["start", "builder", "--count", "x"],
    ],
)
def test_a_mistake_is_told_and_changes_nothing(cli: Cli, words: list[str]) -> None:
    assert cli("agents", *words).status == 2
    assert not (cli.project / "data" / ".agent_pids" / "agents.wanted").exists()


def test_a_stop_where_nothing_runs_is_done_already(cli: Cli) -> None:
    assert cli("agents", "stop").status == 0


def test_a_look_makes_nothing(cli: Cli) -> None:
    before = sorted(cli.project.rglob("*"))

    cli("agents", "status")

    assert sorted(cli.project.rglob("*")) == before
