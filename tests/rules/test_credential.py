from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.errors import UsageError
from latchboard.rules import credential as rules

if TYPE_CHECKING:
    from latchboard.rules.credential import Face, Version

FINGERPRINTS = st.sampled_from(["a" * 16, "b" * 16])
VERSIONS = st.builds(lambda g, f: {"generation": g, "fingerprint": f}, st.integers(0, 3), FINGERPRINTS)
FACES = st.builds(
    lambda v, c, r, e: {**v, "cleared": c, "refused": rules.version_text(r) if c else None, "expires_s": e},
    VERSIONS,
    st.booleans(),
    VERSIONS,
    st.none() | st.floats(0, 200),
)


def face(generation: int, *, expires_s: float | None = 200.0, cleared: bool = False) -> Face:
    return {
        "generation": generation,
        "fingerprint": "a" * 16,
        "cleared": cleared,
        "refused": None,
        "expires_s": expires_s,
    }


@given(event=st.sampled_from(sorted(rules.TABLE)), reference=st.none() | VERSIONS, current=st.none() | FACES)
def test_nothing_is_written_or_cleared_but_the_very_grant_that_was_shown(
    event: str, reference: Version | None, current: Face | None
) -> None:
    do, outcome = rules.decide(event, reference, current, now_s=100.0, valid_s_min=10.0)

    if do in (rules.WRITE, rules.CLEAR):
        assert reference is not None
        assert current is not None
        assert rules.is_same(reference, current) or current["refused"] == rules.version_text(reference)
    if do == rules.ADOPT and event != "rejected":
        assert current is not None
        assert rules.is_fresh(current, now_s=100.0, valid_s_min=10.0)
        assert reference is None or current["generation"] > reference["generation"]
    assert outcome == "" or outcome in rules.OUTCOMES
    assert (outcome == "") == (do in (rules.CALL, rules.AGAIN, rules.STOP))


def test_states_for_people() -> None:
    def state(one: Face | None) -> str:
        return rules.state(one, now_s=100.0, valid_s_min=60.0)

    assert state(None) == "missing"
    assert state(face(1, cleared=True)) == "cleared"
    assert state(face(1, expires_s=160.0)) == "fresh"
    assert state(face(1, expires_s=None)) == "fresh"
    assert state(face(1, expires_s=159.0)) == "expiring"
    assert state(face(1, expires_s=99.0)) == "expired"


@pytest.mark.parametrize(
    "text", ["", "7", "-" + "a" * 16, "x-" + "a" * 16, "7-" + "a" * 15, "7-" + "g" * 16, "\u0667-" + "a" * 16]
)
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError, match="no version"):
        rules.parse_version(text)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\0b", "a b", "é", "x" * 65, None, 5])
def test_names_that_no_file_may_have(name: object) -> None:
    with pytest.raises(UsageError, match="name of a credential"):
        rules.check_name(name)


def test_name() -> None:
    assert rules.check_name("git-hub_2.test") == "git-hub_2.test"
