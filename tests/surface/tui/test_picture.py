"""Pictures say what the board says, and what has not changed is the same object again."""

from __future__ import annotations

import json
from typing import Any

from latchboard.surface.tui.picture import Decoder, Picture
from tests.surface.tui.harness import HOSTILE, Scene

FIELDS = {
    "revision": "revision",
    "last_updated": "at",
    "agents": "agents",
    "active_locks": "locks",
    "ended_locks": "ended",
    "waiters": "waiters",
    "conflicts": "conflicts",
    "damaged": "damaged",
}


def facts(picture: Picture) -> dict[str, Any]:
    return {name: getattr(picture, field) for name, field in FIELDS.items()}


def of(board: dict[str, Any]) -> dict[str, Any]:
    return {name: board[name] for name in FIELDS}


def test_a_picture_says_what_the_board_says_after_every_change(scene: Scene) -> None:
    decoder = Decoder()
    steps = [
        lambda: None,
        scene.busy,
        lambda: scene.hold("evil \u4e16", *HOSTILE, reason="\x1b[31m"),
        lambda: scene.board.locks.release_names("planner"),
        lambda: next(scene.project.glob("data/.agent_locks/docs__x.md-*.lock")).write_text("{"),
    ]

    for step in steps:
        step()
        scene.seen.board.close()  # a record that was scribbled on is seen by whoever begins
        text = scene.seen.board.text()
        assert facts(decoder.picture(text)) == of(json.loads(text))
    assert len(json.loads(text)["damaged"]) == 1


def test_an_entry_that_has_not_changed_is_the_same_object(scene: Scene) -> None:
    decoder = Decoder()
    scene.busy()
    before = decoder.picture(scene.seen.board.text())

    scene.hold("tester", "tests/t.py")
    after = decoder.picture(scene.seen.board.text())

    known = {hold["name"]: hold for hold in before.locks}
    assert len(after.locks) == len(before.locks) + 1
    assert all(hold is known[hold["name"]] for hold in after.locks if hold["name"] in known)
    assert after.agents["planner"] is before.agents["planner"]


def test_a_board_that_is_laid_out_in_another_way_is_read_as_well(scene: Scene) -> None:
    scene.busy()
    text = scene.seen.board.text()
    for other in (json.dumps(json.loads(text)), json.dumps(json.loads(text), indent=1)):
        assert facts(Decoder().picture(other.encode())) == of(json.loads(text))
