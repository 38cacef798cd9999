"""A change of a JSON text: what was asked for changes, and no other character."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import json_text

SPACES = '{\n    "a": 1.0e2,\n    "list": [\n        1\n    ]\n}\n'
TABS = '{\n\t"a": "\\u00e9",\n\t"list": [1, 2]\n}'
LINE = '{"a":1,"list":[1]}'
WINDOWS = '{\r\n  "a": 1\r\n}\r\n'


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", '{\n  "new": {\n    "x": [\n      1\n    ]\n  }\n}\n'),
        (" \n", '{\n  "new": {\n    "x": [\n      1\n    ]\n  }\n}\n'),
        ("{}", '{\n  "new": {\n    "x": [\n      1\n    ]\n  }\n}'),
        ("{ }\n", '{\n  "new": {\n    "x": [\n      1\n    ]\n  }\n}\n'),
        (LINE, '{"a":1,"list":[1],"new": {"x": [1]}}'),
        ('{"a": 1}', '{"a": 1, "new": {"x": [1]}}'),
        (WINDOWS, '{\r\n  "a": 1,\r\n  "new": {\r\n    "x": [\r\n      1\r\n    ]\r\n  }\r\n}\r\n'),
        ('{\n"a": 1\n}', '{\n"a": 1,\n"new": {\n    "x": [\n      1\n    ]\n  }\n}'),
        (
            SPACES,
            SPACES.replace("\n    ]\n}", '\n    ],\n    "new": {\n        "x": [\n            1\n        ]\n    }\n}'),
        ),
    ],
)
def test_member_is_put_in_as_the_document_is_written(text: str, made: str) -> None:
    assert json_text.put(text, ["new", "x"], [1]) == made


def test_value_is_replaced_where_it_stands() -> None:
    assert json_text.put(TABS, ["a"], {"b": None}) == '{\n\t"a": {\n\t\t"b": null\n\t},\n\t"list": [1, 2]\n}'
    assert json_text.put(LINE, ["list", 0], "x") == '{"a":1,"list":["x"]}'


@pytest.mark.parametrize(
    ("text", "path", "made"),
    [
        (SPACES, ["list"], SPACES.replace("1\n    ]", '1,\n        {\n            "b": 2\n        }\n    ]')),
        (TABS, ["list"], TABS.replace("[1, 2]", '[1, 2, {"b": 2}]')),
        ('{"l": [ [] ]}', ["l", 0], '{"l": [ [{"b": 2}] ]}'),
        ('{\n "l": []\n}', ["l"], '{\n "l": [\n  {\n   "b": 2\n  }\n ]\n}'),
    ],
)
def test_item_is_put_behind_the_others_as_they_are_written(text: str, path: list[Any], made: str) -> None:
    assert json_text.append(text, path, {"b": 2}) == made


@pytest.mark.parametrize(
    ("text", "path", "made"),
    [
        ('{"a": 1, "b": 2, "c": 3}', ["a"], '{"b": 2, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', ["b"], '{"a": 1, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', ["c"], '{"a": 1, "b": 2}'),
        ('{\n  "a": [\n    1\n  ]\n}\n', ["a", 0], '{\n  "a": []\n}\n'),
        ('{\n  "a": 1\n}\n', ["a"], "{}\n"),
        ('{"a" : {"b" : 1 , "c":2} }', ["a", "b"], '{"a" : {"c":2} }'),
    ],
)
def test_entry_goes_with_its_comma(text: str, path: list[Any], made: str) -> None:
    assert json_text.delete(text, path) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "no JSON object"),
        ('{"a": 1, // why\n"b": 2}', "Expecting"),
        ('{"a": 1,}', "Expecting|Illegal"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        ("\ufeff{}", "BOM|Expecting"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_document_that_two_readers_could_read_differently_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        json_text.parsed(text)


def test_what_is_not_there_is_none() -> None:
    assert json_text.at({"a": [1]}, ["a", 0]) == 1
    assert json_text.at({"a": [1]}, ["a", 1]) is None
    assert json_text.at({"a": [1]}, ["b"]) is None
    assert json_text.at({"a": 1}, ["a", "b"]) is None
    assert json_text.parsed(" \n") == {}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
STYLES = st.sampled_from(
    [
        {"indent": 2},
        {"indent": 4, "ensure_ascii": False},
        {"indent": "\t"},
        {},
        {"separators": (",", ":")},
        {"indent": 0},
    ]
)


@given(DOCUMENTS, STYLES, st.text(max_size=5), VALUES)
def test_put_and_delete_change_one_member_and_nothing_else(
    document: dict[str, Any], style: dict[str, Any], key: str, value: Any
) -> None:
    text = json.dumps(document, **style)

    put = json_text.put(text, [key], value)

    assert json.loads(put) == {**document, key: value}
    assert list(json.loads(put)) == list({**document, key: value})
    gone = json_text.delete(put, [key])
    assert json.loads(gone) == {k: v for k, v in document.items() if k != key}
    if key not in document and document:
        assert gone == text
