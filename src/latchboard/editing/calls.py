"""Calls: which agents are in a call of their own, so that none is accused of what another may just be doing.

Protocol: protocol/editing.md, "Open calls".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.rules import foreign as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from latchboard.rules.foreign import Call
    from latchboard.store.port import Snapshot, Store, View


def begin(view: View, agent: str, seen: Mapping[str, str] | None = None, passing: Iterable[str] = ()) -> None:
    """A call of the agent begins. In the transaction that takes its locks and images."""
    view.put(_key(agent), rules.opened(_get(view, agent), agent, view.now, seen or {}, passing))  # type: ignore[arg-type]  # a TypedDict is a dict


def keep(view: View, agent: str, names: Iterable[str]) -> None:
    """These are held for more than a call from now on."""
    call = _get(view, agent)
    if call is not None and "passing" in call:
        view.put(_key(agent), rules.passed(call, {*call["passing"]}.difference(names)))  # type: ignore[arg-type]  # a TypedDict is a dict


def end(view: View, agent: str) -> list[str]:
    """One call of the agent has ended. In the transaction that takes its images anew.

    Returns:
        The names that were held for calls alone, if it was the last of them.
    """
    held = passing(view, agent)
    call = _get(view, agent)
    after = rules.closed(call) if call else None
    if after is not None:
        view.put(_key(agent), after)  # type: ignore[arg-type]  # a TypedDict is a dict
    elif call is not None or _is_there(view, agent):
        view.delete(_key(agent))
    return held if after is None else []


def passing(view: View, agent: str) -> list[str]:
    """The names that are held for the agent's calls alone."""
    call = _get(view, agent)
    return list(call.get("passing", [])) if call is not None else []


def end_all(view: View, agent: str, *, with_subagents: bool = False) -> None:
    """The agent is in no call: its turn, or its life, has ended."""
    if _is_there(view, agent):
        view.delete(_key(agent))
    if with_subagents:
        for key, _ in view.scan(_key(f"{agent}:"), damaged=[]):
            view.delete(key)


def is_any(store: Store, agent: str) -> bool:
    """Whether a call of the agent is on record, so that its end has to be."""
    try:
        return store.read(_key(agent)).get(_key(agent)) is not None
    except MalformedRecord:
        return True


def is_known(view: View, agent: str) -> bool:
    """Whether there is a record of the agent's calls, however old: then nobody knows that they have ended."""
    return _is_there(view, agent)


def known(source: View | Snapshot) -> dict[str, Call]:
    """The calls of every agent, also those that have lost their end; a record that cannot be read is nobody's."""
    found = {}
    for _, value in source.scan(rules.CALLS, damaged=[]):
        if not rules.check_call(value):
            call: Call = value  # type: ignore[assignment]  # check_call has just looked at every field
            found[call["agent"]] = call
    return found


def _key(agent: str) -> str:
    return rules.CALLS + agent


def _get(view: View, agent: str) -> Call | None:
    """What is known of an agent's calls; what cannot be read is made anew."""
    try:
        value: Any = view.get(_key(agent))
    except MalformedRecord:
        return None
    return value if value is not None and not rules.check_call(value) else None


def _is_there(view: View, agent: str) -> bool:
    try:
        return view.get(_key(agent)) is not None
    except MalformedRecord:
        return True
