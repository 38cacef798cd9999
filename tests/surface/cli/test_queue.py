from __future__ import annotations

from typing import Any

import pytest

from latchboard.surface.cli import table
from tests.surface.cli.harness import Cli


def claim(cli: Cli, role: str = "builder", *words: str) -> Any:
    return cli("queue", "claim", role, *words, "--agent", "b1", "--json").json


def add(cli: Cli, *words: str) -> Any:
    return cli("queue", "add", *words, "--agent", "lead", "--json").json["job"]


def test_a_job_is_added_claimed_and_completed(cli: Cli) -> None:
    assert cli.says("queue", "add", "builder", "Build it", "--agent", "lead") == ("added job-1, ready for a builder\n")
    assert cli.says("queue", "claim", "builder", "--agent", "b1") == "b1 claimed job-1: Build it\n  token <token>\n"
    token = cli("queue", "show", "job-1", "--json").json["lease"]["token"]
    assert cli.says("queue", "renew", "job-1", "--token", str(token)) == "job-1: renewed for 5400 s\n"

    done = cli("queue", "complete", "job-1", "--token", str(token), "--result", '{"n": [1]}', "--json")

    assert done.json["job"]["result"] == {"n": [1]}
    assert done.json["already"] is False
    again = cli("queue", "complete", "job-1", "--token", str(token), "--result", '{"n": [1]}', "--json")
    assert again.json == {**done.json, "already": True}
    late = cli("queue", "complete", "job-1", "--token", str(token), "--json")
    assert (late.status, late.json["code"]) == (11, "stale-token")


def test_everything_that_can_be_said_of_a_job_reaches_it(cli: Cli) -> None:
    add(cli, "builder", "first", "--id", "a")
    words = ("--after", "a", "--file", "x.py", "--then", "tester", "--attempts-max", "1", "--priority", "0")

    job = add(cli, "builder", "second", *words, "--payload", "[1]", "--ready-at", "2099-01-01T00:00:00Z")

    assert (job["waits_for"], job["files"], job["then"], job["priority"]) == (["a"], ["x.py"], ["tester"], 0)
    assert (job["payload"], job["attempts_max"], job["ready_at"]) == ([1], 1, "2099-01-01T00:00:00.000000Z")


def test_nothing_ready_and_a_full_role_are_refusals(cli: Cli) -> None:
    nothing = cli("queue", "claim", "planner", "--agent", "p", "--json")
    assert (nothing.status, nothing.json["code"]) == (10, "nothing-ready")
    add(cli, "planner", "a")
    add(cli, "planner", "b")
    claim(cli, "planner")

    full = cli("queue", "claim", "planner", "--agent", "p", "--json")

    assert (full.status, full.json["code"], full.json["limit"]) == (10, "wip-limit-reached", 1)


def test_a_failed_job_is_dead_told_and_brought_back(cli: Cli) -> None:
    add(cli, "builder", "a")
    token = str(claim(cli)["lease"]["token"])
    assert cli.says("queue", "fail", "job-1", "--token", token, "--error", "no", "--final") == "job-1 is dead\n"
    assert "failed by b1: no" in cli("queue", "show", "job-1").out
    assert [job["id"] for job in cli("queue", "list", "--status", "dead", "--json").json["jobs"]] == ["job-1"]

    assert cli.says("queue", "retry", "job-1", "--agent", "lead") == "job-1 is ready\n"
    token = str(claim(cli)["lease"]["token"])
    assert cli.says("queue", "release", "job-1", "--token", token) == "job-1 is ready\n"
    assert cli.says("queue", "block", "job-1", "--reason", "r", "--agent", "lead") == "job-1 is blocked\n"
    assert cli.says("queue", "retry", "job-1", "--agent", "lead") == "job-1 is ready\n"
    assert cli.says("queue", "cancel", "job-1", "--agent", "lead") == "job-1 is cancelled\n"
    assert cli("queue", "block", "job-1", "--agent", "lead", "--json").json["code"] == "wrong-status"


def test_the_queue_is_counted_and_drawn(cli: Cli) -> None:
    assert cli.says("queue", "stats") == "the queue is empty\n"
    assert cli.says("queue", "graph") == "no job waits for another\n"
    assert cli.says("queue", "list") == "no such job is in the queue\n"
    add(cli, "builder", "a")
    add(cli, "tester", "b", "--after", "job-1")
    claim(cli)

    assert cli("queue", "stats", "--json").json["by_status"] == {"in_progress": 1, "awaiting_test": 1}
    assert "builder: 1 of 3 in progress, 0 ready" in cli("queue", "stats").out
    assert cli.says("queue", "graph") == "job-2 waits for job-1 (dependency)\n"
    assert cli("queue", "graph", "--json").json["edges"][0]["is_open"] is True
    assert "b1" in cli("queue", "list").out
    assert [job["id"] for job in cli("queue", "list", "--agent", "b1", "--json").json["jobs"]] == ["job-1"]


def test_who_has_the_files_of_a_job_is_shown(cli: Cli) -> None:
    add(cli, "builder", "a", "--file", "x.py")
    cli("acquire", "x.py", "--agent", "person")
    assert "stands in line" not in cli("queue", "show", "job-1").out

    assert cli("queue", "claim", "builder", "--agent", "b1", "--json").json["held"] == ["job-1"]

    assert "  stands in line for its files, behind person\n" in cli("queue", "show", "job-1").out


def test_limits_are_shown_and_set(cli: Cli) -> None:
    add(cli, "builder", "a")
    claim(cli)
    assert "builder: 1 of 3 in progress" in cli("queue", "limits").out

    told = cli("queue", "limits", "builder=4", "painter=0", "--total", "9", "--agent", "lead").out

    assert "builder: 1 of 4 in progress" in told
    assert "painter: 0 of 0 in progress" in told
    assert "in all: 1, of 9" in told
    facts = cli("queue", "limits", "builder=default", "--total", "none", "--agent", "lead", "--json").json
    assert (facts["roles"]["builder"]["limit"], facts["roles"]["painter"]["limit"], facts["total"]) == (3, 0, None)


@pytest.mark.parametrize(
    "words",
    [["builder"], ["builder=-1"], ["Builder=1"], ["builder=x"], ["--total", "x"], ["total=3"], ["builder=100001"]],
)
def test_what_is_no_limit_is_refused(cli: Cli, words: list[str]) -> None:
    assert cli("queue", "limits", *words, "--agent", "lead").status == 2


@pytest.mark.parametrize("text", ["{", '1,"x":2', "nan", ""])
def test_what_is_no_json_is_refused(cli: Cli, text: str) -> None:
    assert cli("queue", "add", "builder", "a", "--payload", text, "--agent", "lead").status == 2


def test_a_token_must_be_shown(cli: Cli) -> None:
    add(cli, "builder", "a")

    assert "no token was given" in cli("queue", "complete", "job-1").err


def test_a_job_is_shown_with_who_works_on_it_until_when_and_what_came_of_it(cli: Cli) -> None:
    add(cli, "builder", "a", "--payload", '{"ask": [1]}', "--then", "tester")
    token = str(claim(cli)["lease"]["token"])

    at_work = cli("queue", "show", "job-1").out
    cli("queue", "complete", "job-1", "--token", token, "--result", f'"{"x" * 400}"')
    after = cli("queue", "show", "job-1").out
    cli("queue", "block", "job-1", "--reason", "waits for\ta decision", "--agent", "lead")

    assert "  role builder, then tester, priority 50\n  b1 works on it since " in at_work
    assert " unless renewed\n" in at_work
    assert f"  token {token}\n" in at_work
    assert '  payload: {"ask":[1]}\n' in at_work
    assert f'  result: "{"x" * 299}...\n' in after
    assert "  because: waits for\\ta decision\n" in cli("queue", "show", "job-1").out


def test_a_claim_whose_lease_is_over_says_so(cli: Cli) -> None:
    add(cli, "builder", "a")
    claim(cli, "builder", "--ttl-s", "5")
    cli.clock.advance(6)

    assert "its lease is over: the next claim ends it" in cli("queue", "show", "job-1").out


@pytest.mark.parametrize(("columns", "id_chars", "has_title"), [(60, 12, True), (60, 100, False), (40, 100, False)])
def test_a_list_fits_a_narrow_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int, id_chars: int, has_title: bool
) -> None:
    add(cli, "integrator", "Bring the lighthouse and the light in", "--id", "x" * id_chars)
    add(cli, "builder", "Build it", "--after", "x" * id_chars)
    monkeypatch.setattr(table, "is_terminal", lambda: True)

    said = cli("queue", "list", TERM="dumb", COLUMNS=str(columns)).out.split("\n\ncut to fit; all of it: ")

    assert len(said) == 2
    assert max(table.cells(line) for line in said[0].splitlines()) <= columns
    assert ("Bring the l" in said[0]) is has_title
