"""One grammar, two readers: where the plain one understands a command line, click reads the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.surface.cli import catalogue, clicked, grammar
from tests.conftest import examples

VERBS = [catalogue.load(name) for name in catalogue.VERBS]


def _by_click(verb: grammar.Verb, words: list[str]) -> Any:
    try:
        found = clicked.parse([*verb.name.split(), *words])
    except UsageError:
        return None
    return found[1] if isinstance(found, tuple) else found


def _likely_words(verb: grammar.Verb) -> st.SearchStrategy[str]:
    spellings = [p.spelling for p in verb.parameters if p.spelling]
    values = [
        "0",
        "1",
        "2.5",
        "-1",
        "1e3",
        "nan",
        "inf",
        "",
        " ",
        "a",
        "a=b",
        "high",
        "bash",
        "\u0663",
        "1_0",
        "-",
        "--",
    ]
    return st.one_of(
        st.sampled_from(spellings),
        st.sampled_from(values),
        st.builds("{}={}".format, st.sampled_from(spellings), st.sampled_from(values)),
        st.text(max_size=5),
    )


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name.replace(" ", "-"))
@examples(30)
@given(data=st.data())
def test_readers_agree(verb: grammar.Verb, data: st.DataObject) -> None:
    words = data.draw(st.lists(_likely_words(verb), max_size=6))

    plain = grammar.read(verb, words)

    if plain is not None:
        assert _by_click(verb, words) == plain


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name.replace(" ", "-"))
def test_faultless_line_needs_no_click(verb: grammar.Verb) -> None:
    """What click accepts is understood by the plain reader, too: help and mistakes alone are slow."""
    placed = {"choices": ["bash"], "REQUEST": ["a1.b"], "STATUS": ["busy"], "PATH": ["a"]}
    words = ["--json", "--agent", "planner"]
    for parameter in verb.parameters:
        if not parameter.spelling and parameter.count != "any":
            words += placed["choices"] if parameter.choices else placed.get(parameter.metavar, ["x"])

    assert grammar.read(verb, words) is not None
    assert grammar.read(verb, words) == _by_click(verb, words)


def test_names_in_help_and_in_python_are_the_same() -> None:
    for verb in VERBS:
        for parameter in verb.parameters:
            if parameter.spelling and parameter.name != "as_json":
                assert parameter.spelling == "--" + parameter.name.replace("_", "-")


def test_numbers_have_their_units_in_their_names() -> None:
    for verb in VERBS:
        for parameter in verb.parameters:
            founding = ("seconds", "stuck_threshold", "interval")  # the last two are the founding document's own words
            if parameter.metavar == "SECONDS" and parameter.name not in founding:
                assert parameter.name.endswith(("_s", "_s_max", "_s_min"))


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--shar", "a"],
        ["check", "-j", "a"],
        ["check", "a", "--shared=1"],
        ["check", "--agent"],
        ["acquire", "a", "--wait-s-max", "soon"],
        ["acquire", "a", "--ttl-s", "0"],
        ["acquire", "a", "--ttl-s", "nan"],
        ["history", "--limit", "0"],
        ["release", "a", "--token", "-3"],
    ],
)
def test_mistakes_are_explained_by_click(words: list[str]) -> None:
    name, own = catalogue.split(words)

    assert grammar.read(catalogue.load(name), own) is None
    with pytest.raises(UsageError) as caught:
        clicked.parse(words)
    assert f"`latchboard {name} --help` shows how" == caught.value.hint
