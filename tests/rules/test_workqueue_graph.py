"""Who waits for whom: what it costs to look, and who would wait for ever."""

from __future__ import annotations

from latchboard.rules import workqueue_graph as graph

WAITS = {
    "alone": [],
    "one": ["two"],
    "two": ["three"],
    "three": ["two"],
    "behind": ["alone", "one"],
    "also": ["one", "alone"],
    "join": ["alone", "fork"],
    "fork": ["alone"],
}


def test_each_job_is_asked_once_however_many_ways_lead_to_it() -> None:
    """Else twenty jobs that depend on two each were a million to ask."""
    asked: list[str] = []

    def waits_for(job: str) -> list[str]:
        asked.append(job)
        level = int(job[1:])
        return [f"a{level - 1}", f"b{level - 1}"] if level else []

    assert graph.cycle(["a8", "b8"], waits_for) == []
    assert sorted(asked) == sorted(f"{side}{level}" for side in "ab" for level in range(9))


def test_who_waits_in_a_circle_or_for_one_that_does_is_told_and_nobody_else() -> None:
    asked: list[str] = []

    def waits_for(job: str) -> list[str]:
        assert job not in asked  # and a circle is not followed for ever
        asked.append(job)
        return WAITS[job]

    assert graph.endless(WAITS, waits_for) == {"one", "two", "three", "behind", "also"}
    assert sorted(asked) == sorted(WAITS)
