"""Plain TOML: what is read is what tomllib reads; what tomllib refuses is never read."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.host.plain_toml import read


def by_tomllib(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except ValueError:
        return "refused"


def same(text: str) -> bool:
    """Whether it is read, and as tomllib does: types included, which `==` would let pass."""
    found = read(text)
    return found is None or repr(found) == repr(by_tomllib(text))


PLAIN = [
    "", "\n\n", "# only a comment\n", "a = 1", "a=1\n", "  a\t=\t1  # why\n", "a = 0", "a = -7",
    "a = 7200.5", "a = -0.0",
    "a = true\nb = false\n", 'a = ""', 'a = "x # y"  # z', 'a = "gr\u00fc\u00dfe"', "a = []", 'a = [ "x" , "y", ] # z',
    'hooks_release = "session"\nlease_ttl_s = 60\nsingleton_types = ["a", "b"]\nshared = true\n', "1 = 2", "a-b = 1",
]  # fmt: skip
OTHER = [
    "a", "a =", "= 1", "a = 1 2", "a = 01", "a = 1_000", "a = +1", "a = 1.", "a = .5", "a = 1e3", "a = 0x1f", "a = inf",
    "a = True", "a = 'x'", 'a = "x', 'a = "x\\n"', 'a = """x"""', "a = ['x']", 'a = ["x"', 'a = ["x" "y"]', "a = [1]",
    "a = [[]]", "a = {b = 1}", "[t]\na = 1", "a.b = 1", '"a" = 1', "a = 1\na = 2",
    "a = 1979-05-27", "a = 1\r\nb = 2\r\n",
    "a = 1\x00", "# \x07", "a b = 1", "\ufeffa = 1", "a = \u0661", "a = [,]", 'a = ["x",,]', "a = 99999999999999999999",
    "a = 1\u2028b = 2", "\u00a0a = 1", "a = [\n]", "a = truefalse",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_is_read(text: str) -> None:
    assert repr(read(text)) == repr(by_tomllib(text))


@pytest.mark.parametrize("text", OTHER)
def test_other_text_is_left_to_tomllib(text: str) -> None:
    assert read(text) is None


@given(st.text(alphabet="ab=\"'[],#.-+_0123 \t\ntruefals\\\x00\u00e9", max_size=30))
def test_no_text_is_read_otherwise_than_tomllib_does(text: str) -> None:
    assert same(text)
    assert same("a = " + text)
    assert same('a = "' + text)
    assert same("a = [" + text)


@given(st.lists(st.sampled_from([*PLAIN, *OTHER]), max_size=4))
def test_no_lines_are_read_otherwise_than_tomllib_does(lines: list[str]) -> None:
    assert same("\n".join(lines))
