"""The codec is the standard library's: what `json` takes and refuses, it takes and refuses, without loading it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard import codec
from tests.tidy.tree import PACKAGE

_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)

ODD = [
    "",
    " ",
    "{}",
    " {}",
    "{} ",
    "{}\x0c",
    "{}x",
    "{}{}",
    "[1]",
    '"a"',
    "1",
    "nul",
    "{'a':1}",
    "{a:1}",
    '{"a":1,}',
    '{"a" : 1 , "b":2}',
    '{"a":1,"a":2}',
    "\ufeff{}",
    '{"a":01}',
    '{"a":-}',
    '{"a":tru}',
    '{"a":NaN}',
    '{"a":-Infinity,"b":1e999}',
    '{"a":"\t"}',
    '{"a":"\\x"}',
    '{"a":"\\ud800"}',
    '{"a":"\\ud83d\\ude00"}',
    '{"a":"x',
    '{"a"',
    '{"a":',
    '{"a":' + "9" * 5000 + "}",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def _by_the_package(text: str) -> str:
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return "refused"
    return repr(value) if isinstance(value, dict) and not text[end:].strip() else "refused"


def _by_the_codec(text: str) -> str:
    try:
        return repr(codec.decode(text))
    except ValueError:
        return "refused"


@pytest.mark.parametrize("text", ODD)
def test_odd_text_is_taken_or_refused_as_by_the_package(text: str) -> None:
    assert _by_the_codec(text) == _by_the_package(text)


@given(st.text(alphabet='{}[]",:\\u0129eE+-.nulltrfaseNIity \t\n\x00é', max_size=40))
def test_any_text_is_taken_or_refused_as_by_the_package(text: str) -> None:
    assert _by_the_codec('{"a":' + text) == _by_the_package('{"a":' + text)
    assert _by_the_codec(text) == _by_the_package(text)


@given(JSON)
def test_any_value_is_written_as_by_the_package(value: object) -> None:
    try:
        expected = _plain.encode(value)
        expected.encode()
    except ValueError:
        with pytest.raises(ValueError):
            codec.encode(value)
    else:
        assert codec.encode(value) == expected


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError):
        codec.encode({"a": "\ud800"})


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        codec.encode({"a": {1}})


@pytest.mark.parametrize("text", ['{"a":' * 100_000, '{"a":[' * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        codec.decode(text)


@pytest.mark.parametrize("text", ODD)
def test_a_process_without_the_package_refuses_the_same(text: str) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from latchboard import codec\n"
        "assert 'json' not in sys.modules\n"
        "try: print(repr(codec.decode(sys.stdin.buffer.read())))\n"
        "except ValueError: print('refused')\n"
    )
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", program, str(PACKAGE.parent)]
    done = subprocess.run(command, check=False, input=text.encode(), capture_output=True)

    assert done.stderr == b""
    assert done.stdout.decode().strip() == _by_the_package(text)


def test_strictly_a_key_comes_once_in_each_object() -> None:
    assert codec.decode_strictly(b'{"a": {"b": 1}, "b": [{"a": 2}, {"a": 3}]}')["b"] == [{"a": 2}, {"a": 3}]
    for text in ('{"a": 1, "a": 1}', '{"x": {"a": 1, "b": 2, "a": 3}}', '{"a": 1, "\\u0061": 2}'):
        with pytest.raises(ValueError, match="'a' comes twice"):
            codec.decode_strictly(text)
    for text in ("[]", "{} {}", '{"a": ' + "[" * 100_000, '{"a": ' + '{"a": ' * 100_000 + "1" + "}" * 100_001):
        with pytest.raises(ValueError):
            codec.decode_strictly(text)
