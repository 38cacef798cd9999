from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.surface.demo.edit import edit_id, edits_in, with_edit, without_edits

texts = st.binary(max_size=300).filter(lambda text: b"latchboard demo" not in text)
somewhere = st.floats(min_value=0, max_value=1)


@given(texts, somewhere)
def test_edit_is_found_and_changes_nothing_else(text: bytes, where: float) -> None:
    edited = with_edit(text, "agent-1/1", where)

    assert edits_in(edited) == {"agent-1/1"}
    assert without_edits(edited) == text


@given(texts, st.lists(somewhere, max_size=20))
def test_every_one_of_many_edits_is_found(text: bytes, places: list[float]) -> None:
    ids = {edit_id("agent-2", number) for number in range(len(places))}

    for edit, where in zip(sorted(ids), places, strict=True):
        text_before, text = text, with_edit(text, edit, where)
        assert len(text) > len(text_before)

    assert edits_in(text) == ids


@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_edited_python_file_is_still_a_program(where: float) -> None:
    text = b"import os\n\n\nclass A:\n    @property\n    def b(self):\n        return 1\n\n\ndef c():\n    pass\n"

    edited = with_edit(text, "agent-1/1", where)

    assert ast.dump(ast.parse(edited)) == ast.dump(ast.parse(text))


def test_number_is_not_taken_for_a_longer_one() -> None:
    edited = with_edit(b"def a(): pass\n", "agent-1/12", 0.5)

    assert "agent-1/1" not in edits_in(edited)


def test_cut_off_file_does_not_pass_for_an_edited_one() -> None:
    text = b"def a(): pass\ndef b(): pass\n"

    assert without_edits(with_edit(text, "agent-1/1", 1.0)[:-5]) != text
