"""Arguments: the same verdict as a full implementation of JSON Schema gives, in words that help."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.surface.mcp import arguments
from latchboard.surface.mcp.catalogue import TOOLS

VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["low", "urgent", "src/a.py"]),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
NAMES = sorted({name for tool in TOOLS.values() for name in tool.input["properties"]} | {"force"})


@given(st.sampled_from(list(TOOLS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_the_verdict_is_that_of_json_schema(name: str, values: dict[str, Any]) -> None:
    schema = TOOLS[name].input
    is_valid = jsonschema.Draft202012Validator(schema).is_valid(values)

    try:
        found = arguments.check(name, schema, values)
    except UsageError:
        assert not is_valid
    else:
        assert is_valid
        assert found == values


def test_a_null_is_an_argument_that_was_left_out() -> None:
    schema = TOOLS["acquire"].input

    assert arguments.check("acquire", schema, {"paths": ["a"], "reason": None}) == {"paths": ["a"]}
    assert arguments.check("status", TOOLS["status"].input, None) == {}


@pytest.mark.parametrize(
    ("values", "says", "hint"),
    [
        ({"path": "a"}, "acquire knows no argument 'path'", "it takes paths, reason, shared, ttl_s, agent"),
        ({"paths": "a"}, "paths of acquire is a list of texts, not 'a'", 'for example ["a"]'),
        ({"paths": ["a"], "ttl_s": True}, "ttl_s of acquire is a number, not True", ""),
        ({}, "acquire needs paths", "it takes paths, reason, shared, ttl_s, agent"),
        ({"paths": ["\ud800"]}, "paths of acquire has half a character in it, which no file or record can keep: ", ""),
        (["a"], "the arguments of acquire are an object, not ['a']", ""),
    ],
)
def test_what_is_wrong_is_said(values: Any, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments.check("acquire", TOOLS["acquire"].input, values)

    assert caught.value.message.startswith(says)
    assert caught.value.hint == hint
    caught.value.message.encode()
