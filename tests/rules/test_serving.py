"""What a daemon says and its record: what the vectors of protocol/vectors/health do not say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import serving

PROCESS = {"host": "h", "boot": "b", "pid_ns": 1, "pid": 4242, "start": 99}


def state(**changed: object) -> serving.State:
    facts = {"port": 9400, "version": "0.1.0", "started_at": "2026-11-21T11:24:21.540466Z", **changed}
    return serving.State(PROCESS, **facts)  # type: ignore[arg-type]


def test_a_record_names_another_only_with_another_process_at_another_address() -> None:
    other = {**PROCESS, "start": 100}

    assert serving.names_another(state(), other, "127.0.0.1", 9401)
    assert serving.names_another(state(), other, "::1", 9400), "two can have one port, at two addresses"
    assert not serving.names_another(state(), other, "127.0.0.1", 9400), "it is at my address, at which I listen"
    assert not serving.names_another(state(), PROCESS, "127.0.0.1", 9401), "it is me"


def test_a_record_is_of_a_machine_that_has_an_id_and_is_in_it() -> None:
    assert serving.is_of_machine(state(), {**PROCESS, "pid": 1})
    assert not serving.is_of_machine(state(), {**PROCESS, "host": "other"})
    nameless = serving.State({**PROCESS, "host": ""}, port=1, version="1", started_at="now")
    assert not serving.is_of_machine(nameless, {**PROCESS, "host": ""})


def test_records_and_answers_are_equal_by_what_they_say() -> None:
    assert state() == state() != state(port=9401)
    assert state() != "state"
    health = serving.Health("0.1.0", 1, 4242, "")
    assert health == serving.Health("0.1.0", 1, 4242, "") != serving.Health("0.1.0", 1, None, "")
    assert health != 5
    assert "4242" in repr(health) and "9400" in repr(state())
    assert state().pid == 4242


def test_what_is_no_object_is_no_health_answer() -> None:
    assert serving.parse_health([]) is None


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 202 Accepted\r\n\r\n", 202),
        (b"HTTP/1.0 401 x\r\na: b\r\n\r\n{}", 401),
        (b"HTTP/1.1 20 x\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\n", 0),
    ],
)
def test_the_status_of_an_answer(answer: bytes, status: int) -> None:
    assert serving.status_of(answer) == status


@pytest.mark.parametrize("length", [b"3", b"9" * 5000])
def test_a_body_that_is_not_all_there_is_none(length: bytes) -> None:
    assert serving.body_of(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n{}") is None


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], []),
        (["serve", "--allowed-hosts", "a,b"], ["a", "b"]),
        (["serve", "--allowed-hosts=a,,b"], ["a", "b"]),
        (["serve", "--allowed-hosts"], []),
        (["serve", "--allowed-hosts", "a", "--allowed-hosts=b"], ["b"]),
    ],
)
def test_the_names_that_a_command_line_allows(argv: list[str], names: list[str]) -> None:
    assert serving.allowed_hosts_in(argv) == names


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: "]))
def test_nothing_that_is_heard_raises(noise: bytes, head: bytes) -> None:
    body = serving.body_of(head + noise)

    assert body is None or body in noise


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*state().to_json(), "x"]), inner),
    max_leaves=10,
)


@given(_json)
def test_nothing_that_a_record_may_hold_raises(value: object) -> None:
    assert serving.parse_state(value) is None or isinstance(value, dict)
    assert serving.parse_health(value) is None


_versions = st.text(alphabet="019.abrcdevpost+x-", max_size=8) | st.from_regex(
    r"[0-2](\.[0-2]){0,2}((a|b|rc)[0-2])?(\.(dev|post)[0-2])?(\+x)?", fullmatch=True
)


@given(_versions, _versions)
def test_of_two_versions_not_each_replaces_the_other(one: str, other: str) -> None:
    """Two installations in one project would end each other's daemon at every call."""
    there, back = serving.drift(one, other), serving.drift(other, one)

    assert (there, back) in {("", ""), ("older", "newer"), ("newer", "older")}


@given(st.lists(_versions, min_size=3, max_size=3))
def test_versions_have_one_order(versions: list[str]) -> None:
    first, second, third = versions
    if serving.drift(first, second) == serving.drift(second, third) == "older":
        assert serving.drift(first, third) == "older"
