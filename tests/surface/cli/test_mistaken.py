from __future__ import annotations

import shlex

import pytest

from latchboard.surface.cli import catalogue, mistaken
from tests.surface.cli.harness import Cli


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--root . status", "status --root ."),
        ("--json --root=. --agent p check a", "check --json --root=. --agent p a"),
        ("--agent p run a -- make --json", "run --agent p a -- make --json"),
        ("handoff --agent p list", "handoff list --agent p"),
        ("--agent p handoff list", "handoff list --agent p"),
        ("--agent 'a b' status", "status --agent 'a b'"),
    ],
)
def test_common_option_before_the_verb_is_shown_behind_it(cli: Cli, words: str, meant: str) -> None:
    answer = cli(*shlex.split(words))

    option = next(word for word in words.split() if word.startswith("--")).partition("=")[0]
    assert answer.status == 2
    assert f"{option} before the verb is not understood" in answer.err + answer.out
    assert f"put it behind the verb: latchboard {meant}" in answer.err + answer.out
    assert catalogue.split(shlex.split(meant))[0]


@pytest.mark.parametrize("words", [["--root"], ["--root", "."], ["--json"], ["--agent", "p", "nonsense"]])
def test_common_option_without_a_verb_says_where_it_belongs(cli: Cli, words: list[str]) -> None:
    assert "put it behind the verb: latchboard VERB " in cli(*words).out + cli(*words).err


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        ("stauts", "status"),
        ("aquire src/a.py", "acquire"),
        ("handoff lst", "handoff list"),
        ("hndoff", "handoff"),
        ("grant a1.b", "handoff grant"),
    ],
)
def test_misspelt_verb_is_met_with_the_nearest(cli: Cli, words: str, verb: str) -> None:
    answer = cli(*words.split())

    assert answer.status == 2
    assert f"`latchboard {verb}` is nearest" in answer.err
    assert cli(*words.split(), "--json").json["code"] == "usage"


@pytest.mark.parametrize("word", ["start", "stop", "restart", "status", "open", "orphans"])
def test_word_behind_serve_that_is_one_of_the_daemons_leads_there(cli: Cli, word: str) -> None:
    answer = cli("serve", word)

    assert answer.status == 2
    assert f"`latchboard daemon {word}` is meant" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--nonsense"],
        ["serve", "x"],
        ["serve", "--x"],
        ["status", "start"],
        ["xyzzy"],
        ["--help"],
        ["status", "--nonsense"],
        ["--", "x"],
    ],
)
def test_of_what_is_not_alike_click_says_all_there_is(words: list[str]) -> None:
    assert mistaken.explain(words) is None
