from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from latchboard.board.sheet import Sheet
from latchboard.clock import Now
from latchboard.rules import board as rules
from latchboard.rules.known import by_commit
from tests.rules.test_board import dead, folded, histories, live, shown
from tests.rules.test_watch import NOW, PROCESS, commit, entry, holding, lock

QUIET_S = 300.0


def later(s: float, boot: str = NOW.boot) -> Now:
    return Now(NOW.wall_s + s, NOW.mono_s + s, boot)


def text(sheet: Sheet, state: rules.State, s: float = 0.0, judge: Any = live) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sheet.text(state, later(s), judge))
    return found


def test_one_entry_is_one_line() -> None:
    state = folded(commit(1, {"locks/x": lock("x", holding()), "locks/y": lock("y", holding()), "agents/a": entry()}))

    lines = Sheet(quiet_s=QUIET_S).text(state, later(0), live).decode().splitlines()

    assert sum('"name":"x"' in line for line in lines) == 1
    assert rules.read_head(lines[0].encode()) == 1
    assert lines[-1] == "}"


def test_a_hold_that_runs_out_moves_without_any_change() -> None:
    sheet, state = Sheet(quiet_s=QUIET_S), folded(commit(1, {"locks/x": lock("x", holding())}))

    assert len(text(sheet, state, 59)["active_locks"]) == 1
    assert [e["why"] for e in text(sheet, state, 61)["ended_locks"]] == ["expired"]


def test_an_agent_becomes_quiet_without_any_change() -> None:
    sheet, state = Sheet(quiet_s=QUIET_S), folded(commit(1, {"agents/a": entry()}))

    assert text(sheet, state, QUIET_S - 1)["agents"]["a"]["quiet"] is False
    assert text(sheet, state, QUIET_S + 1)["agents"]["a"]["quiet"] is True


def test_a_process_that_dies_is_seen_without_any_change_and_asked_for_once() -> None:
    sheet, asked = Sheet(quiet_s=QUIET_S), []
    state = folded(commit(1, {f"locks/{name}": lock(name, holding()) for name in ("x", "y", "z")}))

    def judge(process: Any) -> str:
        asked.append(process)
        return "live"

    text(sheet, state, 0, judge)
    first_count = len(asked)
    text(sheet, state, 1, judge)

    assert len(asked) - first_count == 1
    assert len(text(sheet, state, 2, dead)["ended_locks"]) == 3


def test_a_restart_of_the_machine_is_noticed() -> None:
    sheet, state = Sheet(quiet_s=QUIET_S), folded(commit(1, {"locks/x": lock("x", holding())}))
    text(sheet, state, 1)

    found = json.loads(sheet.text(state, Now(NOW.wall_s + 100, 3.0, "boot-2"), live))

    assert [e["name"] for e in found["ended_locks"]] == ["x"]


def test_another_state_has_other_pieces() -> None:
    sheet = Sheet(quiet_s=QUIET_S)
    text(sheet, folded(commit(1, {"locks/x": lock("x", holding())})))

    assert text(sheet, folded(commit(1, {"locks/x": lock("x", holding("b"))})))["active_locks"][0]["agent"] == "b"


def test_many_changes_at_once_are_sorted_as_well() -> None:
    sheet, state = Sheet(quiet_s=QUIET_S), folded(commit(1, {"locks/m": lock("m", holding())}))
    text(sheet, state)
    names = [f"n{number:04d}" for number in range(1000)]
    rules.apply(state, commit(2, {f"locks/{name}": lock(name, holding()) for name in reversed(names)}))

    assert [e["name"] for e in text(sheet, state)["active_locks"]] == ["m", *names]


@settings(max_examples=40)
@given(histories(), st.data())
def test_the_text_is_always_what_render_says(changes: list[Any], data: st.DataObject) -> None:
    sheet, state = Sheet(quiet_s=15.0), rules.State(7)
    for step, one in enumerate(by_commit(changes)):
        rules.apply(state, one)
        if data.draw(st.booleans()):
            judge = data.draw(st.sampled_from([live, dead]))
            s = float(step * 6)
            said = rules.render(state, later(s), judge=judge, quiet_s=15.0)
            assert text(sheet, state, s, judge) == said
    assert text(sheet, state, 200) == rules.render(state, later(200), judge=live, quiet_s=15.0)


def test_odd_values_are_no_obstacle() -> None:
    odd = holding(process={**PROCESS, "pid": [1]}, reason='a "quoted"\nline ünd mehr')
    state = folded(commit(1, {'locks/x"y': lock('x"y', odd)}))

    assert text(Sheet(quiet_s=QUIET_S), state)["active_locks"] == shown(state)["active_locks"]
