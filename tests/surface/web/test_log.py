"""The log that pages are places in: bounded, in order, and honest about what it has lost."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latchboard.surface.web import log
from latchboard.surface.web.log import Log


def entries(first: int, count: int, size: int = 10) -> list[tuple[int, bytes]]:
    return [(revision, b"x" * size) for revision in range(first, first + count)]


def test_a_place_is_found_by_the_revision_before_it() -> None:
    journal = Log()
    journal.restart(10)
    journal.add(entries(11, 3))

    assert [journal.find(revision) for revision in (10, 11, 12, 13)] == [journal.begin + n for n in range(4)]
    assert journal.find(9) is journal.find(14) is None
    assert journal.read(journal.end) == []


def test_what_is_put_in_front_is_found_and_read_in_order() -> None:
    journal = Log()
    journal.restart(10)
    journal.add([(11, b"11")])
    journal.add_before(7, [(8, b"8"), (10, b"10")])

    begin = journal.find(7)
    assert begin is not None and journal.read(begin) == [b"8", b"10", b"11"]
    assert journal.find(8) == begin + 1 and journal.floor == 7


def test_what_is_over_the_limits_goes_from_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "COUNT_MAX", 3)
    monkeypatch.setattr(log, "BYTES_MAX", 25)
    journal = Log()
    journal.restart(0)
    first = journal.begin
    journal.add(entries(1, 3, 5))
    assert journal.floor == 0 and journal.room == (0, 10)
    journal.add(entries(4, 1, 5))
    assert (journal.floor, journal.lost(first), journal.find(1)) == (1, "skipped", journal.begin)
    journal.add(entries(5, 1, 1000))  # one that is larger than everything is kept alone
    assert (journal.floor, journal.read(journal.begin)) == (4, [b"x" * 1000])


def test_places_from_before_a_new_beginning_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "COUNT_MAX", 2)
    journal = Log()
    journal.restart(5)
    journal.add(entries(6, 2))
    at_end = journal.end
    journal.restart(100)
    journal.add(entries(101, 3))

    assert journal.lost(at_end) == "compacted"
    assert journal.lost(journal.begin - 1) == "skipped"
    assert journal.lost(journal.begin) == ""
    assert journal.find(6) is None


def test_an_entry_that_shares_its_revision_is_no_place() -> None:
    journal = Log()
    journal.restart(1)
    journal.add([(2, b"commit"), (2, b"trouble"), (3, b"next")])

    number = journal.find(2)
    assert number is not None and journal.read(number) == [b"next"]


@given(st.lists(st.tuples(st.sampled_from(["add", "restart"]), st.integers(1, 6)), max_size=30))
def test_whoever_reads_on_gets_everything_in_order_or_is_told(steps: list[tuple[str, int]]) -> None:
    journal = Log()
    journal.restart(0)
    place, heard, revision = journal.begin, [0], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "COUNT_MAX", 8)
        patch.setattr(log, "CHUNK_BYTES", 2)
        for step, count in steps:
            if step == "restart":
                revision += 10
                journal.restart(revision)
            else:
                journal.add([(revision + n, b"%d" % (revision + n)) for n in range(1, count + 1)])
                revision += count
            if journal.lost(place):
                place, heard = journal.end, [journal.last]
            chunks = journal.read(place)
            place += len(chunks)
            for chunk in chunks:
                assert int(chunk) == heard[-1] + 1
                heard.append(int(chunk))
            assert len(journal._entries) <= 8
            assert journal.find(journal.floor) == journal.begin or journal.floor == journal.last


_STEP = st.tuples(st.sampled_from(["add", "trouble", "miss", "back", "read"]), st.integers(1, 6))


@given(st.lists(_STEP, max_size=40))
@example([("add", 3), ("read", 1), ("miss", 4), ("back", 4), ("read", 1)])
def test_a_slow_page_is_told_too_while_others_lengthen_the_log(steps: list[tuple[str, int]]) -> None:
    """`miss`: commits that the reader could not read; `back`: another page comes back from before the floor."""
    journal = Log()
    journal.restart(0)
    place, heard, newest = journal.begin, 0, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "COUNT_MAX", 8)
        for step, count in steps:
            if step == "add":
                journal.add([(newest + n, b"%d" % (newest + n)) for n in range(1, count + 1)])
                newest += count
            elif step == "trouble":
                journal.add([(newest, b"trouble")])
            elif step == "miss":
                newest += count
                journal.restart(newest)
            elif step == "back" and journal.floor > 0:
                after = max(0, journal.floor - count)
                earlier = [(n, b"%d" % n) for n in range(after + 1, journal.floor + 1)]
                if len(earlier) <= journal.room[0]:
                    journal.add_before(after, earlier)
            elif step == "read":
                if journal.lost(place):
                    place, heard = journal.end, journal.last
                chunks = journal.read(place)
                place += len(chunks)
                for chunk in chunks:
                    if chunk != b"trouble":
                        assert int(chunk) == heard + 1
                        heard += 1
