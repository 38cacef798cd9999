"""Lines on sheets: in order whatever comes and goes, and however it is ordered."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from latchboard.rules import workqueue_line as rules
from latchboard.workqueue.lines import Line
from tests.services.workqueue.support import Bench


class View(dict[str, Any]):
    """What a line needs of a transaction."""

    put = dict.__setitem__
    delete = dict.__delitem__


def test_two_hundred_jobs_each_more_urgent_than_all_before_are_claimed_the_last_one_first(bench: Bench) -> None:
    bench.queue.set_limits(by="s", roles={"builder": 300})
    for urgency in range(200, 0, -1):
        bench.add(f"j{urgency}", priority=urgency)

    assert bench.problems() == []
    assert [bench.claim()[0] for _ in range(3)] == ["j1", "j2", "j3"]


@pytest.mark.parametrize("last", [30, 70])
def test_a_full_first_sheet_whose_places_are_all_before_its_start_is_split_in_order(last: int) -> None:
    view: Any = View()
    line = Line(view, "ready.builder")
    first = [99, 0, "first"]
    line.add(first)
    places = [[n, n, f"j{n}"] for n in range(rules.SHEET_PLACES_MAX - 1)]
    for place in places:
        line.add(place)

    line.add([last, 1000, "last"])
    line.remove(first)

    assert list(line.places()) == sorted([*places, [last, 1000, "last"]])
    assert rules.check_index(view["queue/ready.builder"], int) == ""


@pytest.mark.parametrize("seed", range(8))
def test_what_comes_and_goes_in_any_order_stays_in_order(seed: int) -> None:
    dice = Random(seed)
    view: Any = View()
    line = Line(view, "ready.builder")
    there: list[list[Any]] = []
    for number in range(600):
        if there and dice.random() < 0.35:
            line.remove(there.pop(dice.randrange(len(there))))
        else:
            there.append([dice.choice([0, 50, 99, 99 - number // 10]), number, f"j{number}"])
            line.add(there[-1])

    assert list(line.places()) == sorted(there)
