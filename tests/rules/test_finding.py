from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules.finding import Finding, command, counted, exit_status, ordered


def finding(finding_id: str) -> Finding:
    return Finding(finding_id, "text", "true", section="storage")


def test_the_gravest_come_first_and_the_same_by_their_ids() -> None:
    found = ordered([finding("F-117"), finding("F-101"), finding("F-106"), finding("F-105")])

    assert [one.id for one in found] == ["F-105", "F-106", "F-101", "F-117"]


@pytest.mark.parametrize(
    ("ids", "is_broken", "status"),
    [
        ([], False, 0),
        (["F-117", "F-002"], False, 0),
        (["F-002", "F-001"], False, 1),
        (["F-001"], True, 2),
        ([], True, 2),
    ],
)
def test_what_is_critical_and_what_broke_are_told_by_the_status(ids: list[str], is_broken: bool, status: int) -> None:
    assert exit_status([finding(one) for one in ids], is_broken=is_broken) == status


def test_a_finding_is_told_whole() -> None:
    one = Finding("F-002", "two of them", "latchboard daemon sweep", count=2)

    assert one.to_json() == {
        "id": "F-002",
        "severity": "warn",
        "section": "orphans",
        "text": "two of them",
        "remedy": "latchboard daemon sweep",
        "about": {"count": 2},
    }
    assert repr(one) == "Finding('F-002', 'two of them', 'latchboard daemon sweep')"


def test_one_is_no_many() -> None:
    assert [counted(0, "lock"), counted(1, "lock"), counted(2, "lock")] == ["0 locks", "1 lock", "2 locks"]
    assert counted(2, "more record", "more records") == "2 more records"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("src/a.py", "src/a.py"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", "'it'\"'\"'s'"),
        ("$(reboot)", "'$(reboot)'"),
        ("ä", "'ä'"),
        ("a\nb", "$'a\\nb'"),
        ("\x1b[31m'\\", "$'\\x1b[31m\\'\\\\'"),
        ("ä\t", "$'ä\\t'"),
        ("\udcff", "$'\\xff'"),
    ],
)
def test_a_word_can_be_pasted_into_a_shell(word: str, shown: str) -> None:
    assert command("ls", word) == f"ls {shown}"


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), min_size=1))
def test_a_shell_reads_the_words_that_were_meant(words: list[str]) -> None:
    assert shlex.split(command(*words)) == words


def test_a_finding_stands_in_its_own_section_or_in_that_of_the_check_that_made_it() -> None:
    assert Finding("F-002", "text", "true", section="storage").section == "orphans"
    assert Finding("F-100", "text", "true", section="storage").section == "storage"


def test_words_that_have_no_s_for_many_are_counted_as_they_are_told() -> None:
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"
    assert counted(2, "lock") == "2 locks"
