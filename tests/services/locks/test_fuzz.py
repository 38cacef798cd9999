"""Inputs of any kind: a hold, or a UsageError that leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import CoordinationError, MalformedRecord, Refused, UsageError
from latchboard.locks import handoff
from latchboard.locks.breaking import break_lock
from tests.conftest import MEMORY
from tests.services.locks.scene import Scene

HOSTILE = [
    *("", " ", "a ", "\0", "\ud800", "..", "/", "//", "./", "../x", "glob:", "glob:**", "glob:[", "glob:!x"),
    *("hardlink:", "hardlink:1-2", "hardlink:x", "a" * 5000, "é" * 3000, "x\ny", "CON", "a/", "a//b", "~", "\u202e"),
]
any_text = st.text(alphabet=st.characters(codec=None), max_size=12) | st.sampled_from(HOSTILE)
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=4)
    | any_text
    | st.lists(any_text, max_size=2)
    | st.just(10**400)
)


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield made


def attempt(call: Callable[[], Any]) -> Any:
    """What the call gave; None for a usage error. Anything else is a failure of the test."""
    try:
        return call()
    except UsageError as exc:
        assert str(exc).isprintable() or "\n  hint: " in str(exc)
        assert len(exc.message) < 6000
        return None


@pytest.mark.parametrize("is_memory", [True, False], ids=["memory", "files"])
@given(agent=any_text | anything, paths=st.lists(any_text | anything, max_size=3), shared=st.booleans())
def test_any_agent_and_any_paths(
    tmp_path_factory: pytest.TempPathFactory, is_memory: bool, agent: Any, paths: Any, shared: bool
) -> None:
    scene = Scene(tmp_path_factory.mktemp("project"), is_memory=is_memory)
    locks = scene.process().locks

    request = attempt(lambda: locks.request(agent, paths, shared=shared))

    if request is not None:
        hold = attempt(lambda: locks.acquire(request))
        assert hold is None or hold.release()
    assert scene.is_empty()


@given(ttl_s=anything, wait_s_max=anything, reason=anything, bound=st.sampled_from(["process", "agent"]) | anything)
def test_any_numbers_and_words(folder: str, ttl_s: Any, wait_s_max: Any, reason: Any, bound: Any) -> None:
    scene = Scene(folder)
    process = scene.process()

    hold = attempt(
        lambda: process.agent("a").lock("x.py", ttl_s=ttl_s, wait_s_max=wait_s_max, reason=reason, bound=bound)
    )

    if hold is not None:
        hold.release()
    assert scene.is_empty()


@given(request=any_text | anything, by=any_text | anything, reason=any_text | anything)
def test_any_answer_to_a_handoff(folder: str, request: Any, by: Any, reason: Any) -> None:
    scene = Scene(folder)
    process = scene.process()
    process.agent("h").lock("x.py")
    asked = scene.process().line("w", "x.py", handoff={"state": "asked"})
    before = scene.everything()

    attempt(lambda: handoff.grant(process.locks, request, by=by))
    attempt(lambda: handoff.decline(process.locks, request, by=by, reason=reason))
    attempt(lambda: handoff.decline(process.locks, asked.id, by=by, reason="x") if by != "h" else None)

    assert scene.everything() == before


@given(path=any_text | anything, by=any_text | anything, reason=any_text | anything, token=st.none() | st.integers())
def test_any_break(folder: str, path: Any, by: Any, reason: Any, token: Any) -> None:
    scene = Scene(folder)
    process = scene.process()
    hold = process.agent("h").lock("x.py")

    try:
        attempt(lambda: break_lock(process.locks, path, by=by, reason=reason, token=token))
    except Refused:
        assert token is not None

    assert hold.is_live() or path == "x.py"


@given(paths=st.none() | st.lists(any_text | anything, max_size=2), agent=anything, token=anything, ttl_s=anything)
def test_any_release_renewal_and_question(folder: str, paths: Any, agent: Any, token: Any, ttl_s: Any) -> None:
    scene = Scene(folder)
    process = scene.process()
    hold = scene.process().agent("h").lock("x.py")

    attempt(lambda: process.locks.release_names(agent, paths, token=token))
    attempt(lambda: process.locks.check(paths or [], agent=agent))
    attempt(lambda: process.locks.renew_agent(agent, ttl_s=ttl_s))

    assert hold.is_live()


def test_error_of_a_bad_path_is_for_people_and_programs(tmp_path: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Scene(tmp_path).process().agent("a").lock("")

    assert isinstance(caught.value, CoordinationError) and not isinstance(caught.value, MalformedRecord)
    assert (caught.value.code, caught.value.exit_status, caught.value.retryable) == ("usage", 2, False)
