"""protocol/vectors/editing/: who the agent of an event is, and which holds are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import Now
from latchboard.editing.own import Own
from latchboard.rules import holding, lock
from latchboard.surface.hooks.event import agent_of

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "editing"
NOW = Now(1_795_229_464.0, 1000.0, "boot-1")


def cases(name: str) -> list[Any]:
    vector = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


def identity(pid: int) -> dict[str, Any]:
    return {"host": "h", "boot": "boot-1", "pid_ns": 1, "pid": pid, "start": 1}


@pytest.mark.parametrize(("given", "expect"), cases("agent_ids"))
def test_the_agent_of_an_event_is(given: dict[str, Any], expect: str) -> None:
    assert agent_of(given["session"], given["subagent"], given["environ"]) == expect


@pytest.mark.parametrize(("given", "expect"), cases("whose"))
def test_a_hold_is_the_askers_own_or_not(given: dict[str, Any], expect: bool) -> None:
    of = given["held"]
    taker = lock.Asker(of["agent"], of["bound"], identity(1), of["agent"])
    held = holding.new(lock.Request("r1", taker, [], ttl_s=60.0), "exclusive", 1, NOW)
    asker = lock.Asker(given["agent"], "agent", identity(2), given["agent"])
    view: Any = None

    table = Own(view, NOW, lambda _: of["process"], identity(2))

    assert table.is_mine(held, lock.Request("r2", asker, [], ttl_s=60.0)) == expect
