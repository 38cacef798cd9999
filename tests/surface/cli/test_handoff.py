from __future__ import annotations

import re

from tests.surface.cli.harness import Cli


def _ask(cli: Cli) -> str:
    cli("acquire", "src/a.py", "--agent", "planner")
    words = ("src/a.py", "--no-wait", "--agent", "builder", "--reason", "the build waits", "--json")
    answer = cli("handoff", "request", *words)
    assert (answer.status, answer.json["granted"]) == (0, False)
    return str(answer.json["request"])


def test_request_reaches_the_holder_with_the_commands_to_answer(cli: Cli) -> None:
    request = _ask(cli)

    mail = cli("inbox", "--agent", "planner").out
    assert "builder asks you for src/a.py (the build waits)" in mail
    assert f"latchboard handoff grant {request}" in mail
    assert cli.says("handoff", "list", "--agent", "planner") == (
        "builder asks for src/a.py\n"
        "  since 01:40:00Z (0 s ago); it stands until 01:45:00Z (in 5 min)\n"
        "  what for: the build waits\n"
        "  hand it over: latchboard handoff grant <request> --agent planner\n"
        "  keep it:      latchboard handoff decline <request> --reason ... --agent planner\n"
    )


def test_grant_moves_the_lock(cli: Cli) -> None:
    request = _ask(cli)

    answer = cli("handoff", "grant", request, "--agent", "planner", "--json")

    assert (answer.status, answer.json["moved"]) == (0, True)
    assert cli("check", "src/a.py", "--json").json["held"][0]["agent"] == "builder"
    assert cli("release", "src/a.py", "--agent", "planner").status == 11


def test_decline_keeps_the_lock_and_tells_why(cli: Cli) -> None:
    request = _ask(cli)

    answer = cli("handoff", "decline", request, "--agent", "planner", "--reason", "five minutes", "--json")

    assert answer.status == 0
    assert cli("check", "src/a.py", "--json").json["held"][0]["agent"] == "planner"
    assert "planner keeps src/a.py: five minutes." in cli("inbox", "--agent", "builder").out
    assert cli("handoff", "list", "--agent", "planner").out == "nobody asks planner for anything\n"


def test_answers_say_what_and_to_whom(cli: Cli) -> None:
    said = cli.says("handoff", "decline", _ask(cli), "--agent", "planner")
    assert said == "planner keeps src/a.py; builder has been told\n"

    said = cli.says("handoff", "grant", _ask(cli), "--agent", "planner")
    assert said == "planner handed src/a.py over to builder\n"


def test_request_of_something_free_is_a_lock(cli: Cli) -> None:
    answer = cli("handoff", "request", "src/a.py", "--agent", "builder", "--json")

    assert (answer.status, answer.json["granted"]) == (0, True)
    assert answer.json["locks"][0]["name"] == "src/a.py"


def test_no_answer_in_time_is_told(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("handoff", "request", "src/a.py", "--agent", "builder", "--wait-s-max", "5", "--json")

    assert (answer.status, answer.json["code"]) == (10, "wait-ended")


def test_answer_to_a_request_that_is_over_says_so(cli: Cli) -> None:
    for verb in ("grant", "decline"):
        answer = cli("handoff", verb, "a1b2c3d4.x-1-2", "--agent", "planner")

        assert answer.status == 2
        assert "no open handoff request" in answer.err
        assert "or there never was one" in answer.err


def test_group_alone_shows_its_verbs(cli: Cli) -> None:
    answer = cli("handoff")

    assert answer.status == 2
    assert re.findall(r"^  (request|list|grant|decline) ", answer.err, re.MULTILINE) == [
        "request",
        "list",
        "grant",
        "decline",
    ]
