from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_send_says_under_which_id(cli: Cli) -> None:
    assert cli.says("send", "builder", "hello", "--agent", "planner") == "planner sent <message> to builder\n"


def test_body_from_standard_input_loses_its_last_line_end_alone(cli: Cli) -> None:
    answer = cli("send", "builder", "-", "--agent", "planner", "--json", stdin="one\n\ntwo\n\n")

    assert answer.json["message"]["body"] == "one\n\ntwo\n"


def test_options_reach_the_message(cli: Cli) -> None:
    words = ("--subject", "S", "--urgency", "high", "--ack-by-s", "60", "--expires-s", "90", "--json")
    message = cli("send", "builder", "x", "--agent", "planner", *words).json["message"]

    assert (message["subject"], message["urgency"], message["ack"]) == ("S", "high", "required")
    assert message["ack_by_at"] == "2026-11-21T01:41:00.000000Z"
    assert message["expires_at"] == "2026-11-21T01:41:30.000000Z"


def test_broadcast_reaches_everybody_else(cli: Cli) -> None:
    message = cli("send", "--all", "freeze", "--agent", "operator", "--json").json["message"]

    assert message["to"] is None
    assert "operator to everybody" in cli("inbox", "--agent", "planner").out
    assert cli("inbox", "--agent", "operator").out == "nothing for operator\n"


def test_reply_stays_in_its_thread(cli: Cli) -> None:
    first = cli("send", "builder", "question", "--agent", "planner", "--json").json["message"]
    cli("inbox", "--agent", "builder")

    reply = cli("send", "planner", "answer", "--agent", "builder", "--reply-to", first["id"], "--json").json["message"]

    assert reply["thread"] == first["id"]
    thread = cli("inbox", "--thread", first["id"], "--agent", "planner", "--json").json["messages"]
    assert [one["body"] for one in thread] == ["question", "answer"]


def test_wrong_number_of_words_is_explained(cli: Cli) -> None:
    for words in (("hello",), ("a", "b", "c"), ("--all", "a", "b")):
        answer = cli("send", *words, "--agent", "planner")

        assert answer.status == 2
        assert "quotes" in answer.err


def test_body_that_is_no_utf8_is_refused(cli: Cli) -> None:
    answer = cli("send", "builder", "-", "--agent", "planner", stdin=b"\xff\xfe")

    assert answer.status == 2
    assert "no UTF-8" in answer.err


def test_body_beyond_the_limit_is_refused_and_one_at_it_is_not(cli: Cli) -> None:
    most = cli.settings.body_bytes_max

    assert cli("send", "builder", "-", "--agent", "planner", stdin="x" * most).status == 0
    assert cli("send", "builder", "-", "--agent", "planner", stdin="x" * (most + 1)).status == 2
    assert cli("send", "builder", "-", "--agent", "planner", stdin="ä" * most).status == 2


def test_unknown_urgency_is_refused_with_the_known_ones(cli: Cli) -> None:
    answer = cli("send", "builder", "x", "--agent", "planner", "--urgency", "mild")

    assert answer.status == 2
    assert "'low', 'normal', 'high', 'urgent'" in answer.err
