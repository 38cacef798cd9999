"""Given: the same verdict as a full implementation of JSON Schema gives, in words that help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules.given import check

FOLDER = Path(__file__).parents[2] / "protocol" / "schema"
REQUESTS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("post-*.json"))}
VALUES = st.one_of(
    st.booleans(),
    st.integers(-2, 2**53 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["low", "urgent", "src/a.py", "grant", "ask", "operator"]),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def fields(schema: dict[str, Any]) -> set[str]:
    return {name for one in schema.get("oneOf", [schema]) for name in one["properties"]}


NAMES = sorted({name for schema in REQUESTS.values() for name in fields(schema)} | {"force"})


@given(st.sampled_from(sorted(REQUESTS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5))
def test_the_verdict_is_that_of_json_schema(name: str, values: dict[str, Any]) -> None:
    schema = REQUESTS[name]
    is_valid = jsonschema.Draft202012Validator(schema).is_valid(values)

    try:
        found = check("the body", schema, values)
    except UsageError:
        assert not is_valid
    else:
        assert is_valid
        assert found == values


THING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "paths": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        "name": {"type": "string", "maxLength": 3},
        "all": {"type": "boolean"},
        "is_sure": {"type": "boolean", "const": True},
        "urgency": {"type": "string", "enum": ["low", "high"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "ttl_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
    },
    "required": ["paths"],
}
TAKES = "it takes paths, name, all, is_sure, urgency, count, ttl_s"
KINDS: dict[str, Any] = {
    "oneOf": [
        {"type": "object", "properties": {"action": {"const": "ask"}}, "required": ["action"]},
        {"type": "object", "properties": {"action": {"const": "grant"}, "to": {"type": "string"}}},
    ]
}


@pytest.mark.parametrize(
    ("schema", "values", "says", "hint"),
    [
        (THING, ["a"], "acquire takes an object, not ['a']", ""),
        (THING, {"path": "a"}, "acquire knows no 'path'", TAKES),
        ({"properties": {}}, {"path": "a"}, "acquire knows no 'path'", "it takes {}"),
        (THING, {}, "acquire needs paths", TAKES),
        (THING, {"paths": "a"}, "paths of acquire is a list of texts, not 'a'", 'for example ["a"]'),
        (THING, {"paths": 1}, "paths of acquire is a list of texts, not 1", ""),
        (THING, {"paths": "x" * 200}, "paths of acquire is a list of texts, not 'xxxxxxxxxx", ""),
        (THING, {"paths": []}, "paths of acquire has 0 entries; it has at least 1", ""),
        (THING, {"paths": [""]}, "each of paths of acquire has 0 characters; it has at least 1", ""),
        (THING, {"paths": ["a"], "name": "long"}, "name of acquire has 4 characters; it has 0 to 3", ""),
        (THING, {"paths": [1]}, "each of paths of acquire is text, not 1", ""),
        (THING, {"paths": ["\ud800"]}, "each of paths of acquire has half a character in it, which no file", ""),
        (THING, {"paths": ["a"], "all": 1}, "all of acquire is true or false, not 1", ""),
        (THING, {"paths": ["a"], "is_sure": 1}, "is_sure of acquire is one of True, not 1", ""),
        (THING, {"paths": ["a"], "urgency": "mid"}, "urgency of acquire is one of low, high, not 'mid'", ""),
        (THING, {"paths": ["a"], "count": True}, "count of acquire is a whole number, not True", ""),
        (THING, {"paths": ["a"], "count": 1.5}, "count of acquire is a whole number, not 1.5", ""),
        (THING, {"paths": ["a"], "count": 0}, "count of acquire is at least 1 and at most 9, not 0", ""),
        (THING, {"paths": ["a"], "count": 10}, "count of acquire is at least 1 and at most 9, not 10", ""),
        (THING, {"paths": ["a"], "ttl_s": True}, "ttl_s of acquire is a number, not True", ""),
        (THING, {"paths": ["a"], "ttl_s": 0}, "ttl_s of acquire is above 0 and at most 60, not 0", ""),
        (THING, {"paths": ["a"], "ttl_s": float("inf")}, "ttl_s of acquire is a number, not inf", ""),
        (KINDS, {"action": "take"}, "action of acquire is one of ask, grant, not 'take'", ""),
        (KINDS, {}, "action of acquire is one of ask, grant, not None", ""),
        (KINDS, {"action": "ask", "to": "x"}, "acquire knows no 'to'", "it takes action"),
    ],
)
def test_what_is_wrong_is_said(schema: dict[str, Any], values: Any, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check("acquire", schema, values)

    assert caught.value.message.startswith(says)
    assert caught.value.hint == hint
    caught.value.message.encode()


def test_what_is_right_comes_back_and_a_whole_number_is_an_int() -> None:
    given = {"paths": ["a"], "name": "abc", "all": False, "is_sure": True, "urgency": "low", "count": 3.0, "ttl_s": 0.5}

    found = check("acquire", THING, given)

    assert found == given
    assert type(found["count"]) is int
    assert check("handoff", KINDS, {"action": "grant", "to": "x"}) == {"action": "grant", "to": "x"}
