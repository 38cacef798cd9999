"""Names of agents that have none: readable, always valid, a function of the seed."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import naming
from latchboard.rules.agent import is_agent


def test_words_are_64_of_each_and_lower_case() -> None:
    for words in (naming.ADJECTIVES, naming.ANIMALS):
        assert len(words) == len(set(words)) == 64
        assert all(re.fullmatch("[a-z]+", word) for word in words)


@given(st.text())
def test_a_name_is_an_agent_id_and_the_same_each_time(seed: str) -> None:
    name = naming.readable(seed)

    assert is_agent(name)
    assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9a-f]{4}", name)
    assert naming.readable(seed) == name
    assert "unknown" not in name


def test_a_seed_that_is_no_unicode_text_has_a_name() -> None:
    assert naming.readable("\udcff") != naming.readable("\udcfe")
