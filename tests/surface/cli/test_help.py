from __future__ import annotations

import shlex

import pytest

from latchboard.surface.cli import catalogue, dispatch, grammar
from tests.surface.cli.harness import SCHEMA, Cli

SHOW_THEMSELVES = ("demo",)


@pytest.mark.parametrize("name", catalogue.VERBS)
def test_every_verb_has_help_with_an_example(cli: Cli, name: str) -> None:
    answer = cli(*name.split(), "--help")

    assert answer.status == 0
    assert f"Usage: latchboard {name} " in answer.out
    assert "Examples:\n    " in answer.out
    assert all(len(line) <= 88 for line in answer.out.split("Examples:")[0].splitlines())
    for option in ("--root", "--agent", "--json"):
        assert option in answer.out


@pytest.mark.parametrize("name", catalogue.VERBS)
def test_examples_are_read_without_a_mistake(name: str) -> None:
    verb = catalogue.load(name)
    lines = [line.partition("     (")[0] for line in verb.examples]
    ours = [
        line[line.index("latchboard ") :] for line in lines if "latchboard " in line and not line.startswith("eval")
    ]

    assert verb.examples
    for line in ours:
        words = shlex.split(line.partition(" > ")[0])[1:]
        found = dispatch._read(words)
        assert not isinstance(found, int)
        assert found[0].name == name


def test_help_lists_every_verb(cli: Cli) -> None:
    out = cli("--help").out

    for name in catalogue.VERBS:
        assert f"\n  {name.partition(' ')[0]} " in out


def test_version(cli: Cli) -> None:
    assert cli("--version").out.startswith("latchboard, version ")


def test_catalogue_names_the_verbs_that_modules_declare() -> None:
    declared = [
        verb.name
        for module in dict.fromkeys(catalogue.VERBS.values())
        for verb in __import__(f"latchboard.surface.cli.verb.{module}", fromlist=["VERBS"]).VERBS
    ]

    assert sorted(declared) == sorted(catalogue.VERBS)


def test_every_verb_has_a_schema() -> None:
    for name in catalogue.VERBS:
        assert (SCHEMA / f"{name.replace(' ', '-')}.json").exists(), name


def test_only_the_last_argument_takes_many_words() -> None:
    for name in catalogue.VERBS:
        counts = [p.count for p in catalogue.load(name).parameters if not p.spelling]
        assert all(count == "one" for count in counts[:-1]), name


def test_nothing_at_all_shows_help_and_is_wrong_usage(cli: Cli) -> None:
    answer = cli()

    assert (answer.status, answer.out) == (2, "")
    assert "Usage: latchboard" in answer.err


def test_reader_is_a_function_of_words_alone(cli: Cli) -> None:
    assert grammar.read(catalogue.load("check"), ["a", "--json"]) == grammar.read(
        catalogue.load("check"), ["--json", "--", "a"]
    )
