"""Rules of the machine lock, as far as protocol/vectors/machine_lock/ does not say them (tests/vectors)."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.clock import Now
from latchboard.codec import encode
from latchboard.rules import machine_lock as rules

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "protocol" / "schema" / "machine_lock.json").read_text(encoding="utf-8")
)
NOW = Now(1_795_225_200.25, 1000.0, "boot-1")


def test_a_new_record_is_read_back_and_is_as_the_schema_says() -> None:
    record = rules.new_record(NOW, pid=11, host="alpha", version="0.1.0")

    assert rules.parse_record(encode(record).encode()) == record
    assert rules.age_s(record, NOW) == 0.0
    jsonschema.Draft202012Validator(SCHEMA).validate(record)


def test_what_is_longer_than_any_record_is_data() -> None:
    assert not rules.is_foreign(b"x" * rules.FILE_BYTES_MAX)
    assert rules.is_foreign(b"x" * (rules.FILE_BYTES_MAX + 1))


def test_bytes_that_are_no_text_are_no_record_and_no_data() -> None:
    assert rules.parse_record(b"\xff\xfe{}") is None
    assert not rules.is_foreign(b"\xff\xfe{}")


def test_pauses_grow_from_a_millisecond_to_ten_and_are_spread() -> None:
    pauses = [rules.pause_s(tries, 0.5) for tries in range(100)]

    assert pauses[0] == pytest.approx(0.001)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(0.01)
    assert rules.pause_s(99, 0.0) == pytest.approx(0.006)
    assert rules.pause_s(99, 1.0) == pytest.approx(0.014)


@given(
    st.binary(max_size=300) | st.dictionaries(st.text(), st.integers() | st.text()).map(lambda d: encode(d).encode())
)
def test_nothing_that_may_stand_in_a_file_makes_trouble(data: bytes) -> None:
    record = rules.parse_record(data)

    assert record is None or rules.age_s(record, NOW) >= 0.0
    assert isinstance(rules.is_foreign(data), bool)
