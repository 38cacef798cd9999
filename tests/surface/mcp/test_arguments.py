"""Arguments: what a tool takes is what its schema says, to the letter; nulls are left out."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules.given import check
from latchboard.surface.mcp.catalogue import TOOLS
from latchboard.surface.mcp.desk import said

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
        found = check(name, schema, values)
    except UsageError:
        assert not is_valid
    else:
        assert is_valid
        assert found == values


def test_a_null_is_an_argument_that_was_left_out() -> None:
    assert said({"paths": ["a"], "reason": None}) == {"paths": ["a"]}
    assert said(None) == {}
    assert said(["a"]) == ["a"]
