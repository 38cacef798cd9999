"""Limits of the server's own: its quota, the size of a request, the operations of a txn. Each says which it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard.clock import SystemClock
from latchboard.compose import Latchboard, store_looking
from latchboard.errors import CommitTooLarge, StoreFull
from latchboard.store.etcd.gateway import Gateway, packed
from latchboard.store.etcd.store import EtcdStore
from tests.awake import Awake
from tests.store.etcd.server import Place
from tests.store.etcd.test_faults import Cluster

pytestmark = [pytest.mark.process, pytest.mark.slow]

QUOTA_BYTES = 4 * 2**20
REQUEST_BYTES = 40_000
TXN_OPERATIONS = 24


@pytest.fixture
def place(cluster: Cluster) -> Place:
    """A server that an operator has kept small."""
    limits = {
        "--quota-backend-bytes": QUOTA_BYTES, "--max-request-bytes": REQUEST_BYTES, "--max-txn-ops": TXN_OPERATIONS
    }  # fmt: skip
    return cluster(1, *(word for name, value in limits.items() for word in (name, str(value))))


@pytest.fixture
def board(place: Place, tmp_path: Path) -> Iterator[Latchboard]:
    store = EtcdStore(place.access(call_s_max=40.0), clock=SystemClock())
    made = Latchboard(tmp_path, store=store, publishes=False)
    yield made
    made.close()
    store.close()


def maintain(board: Latchboard, path: str, **body: Any) -> dict[str, Any]:
    store: Any = board.store
    gateway = Gateway(store.access)
    try:
        return gateway.call(path, body, monotonic() + 10)
    finally:
        gateway.close()


def fill(board: Latchboard) -> None:
    """Until the server takes no more."""
    put = {"key": packed("/somebody/else"), "value": packed("x" * (REQUEST_BYTES - 5000))}
    with pytest.raises(StoreFull):
        for _ in range(10 * QUOTA_BYTES // REQUEST_BYTES):
            maintain(board, "/v3/kv/put", **put)


def make_room(board: Latchboard, *endpoints: str) -> None:
    """What an operator does: compact, defragment each member, disarm."""
    newest = maintain(board, "/v3/kv/range", key=packed("x"))["header"]["revision"]
    maintain(board, "/v3/kv/compaction", revision=newest, physical=True)
    store: Any = board.store
    gateway = Gateway(store.access)
    for endpoint in endpoints or store.access.endpoints:
        gateway.ask(endpoint, "/v3/maintenance/defragment", {}, monotonic() + 10)
    gateway.close()
    for alarm in maintain(board, "/v3/maintenance/alarm", action="GET")["alarms"]:
        maintain(board, "/v3/maintenance/alarm", action="DEACTIVATE", memberID=alarm["memberID"], alarm=alarm["alarm"])


def test_server_that_is_full_says_what_to_do_is_read_and_goes_on_when_it_was_done(board: Latchboard) -> None:
    me = board.agent("a")
    hold = me.lock("x", bound="agent")
    board.mailbox.send("b", "a", "hello")
    fill(board)

    calls = [
        lambda: me.lock("y", bound="agent"),
        lambda: board.agent("b").lock("y"),
        hold.release,
        hold.renew,
        lambda: board.mailbox.send("a", "b", "hello"),
        lambda: board.mailbox.receive("a"),
    ]
    for call in calls:
        with Awake() as took:
            with pytest.raises(StoreFull) as caught:
                call()
            assert took.s < board.store.access.call_s_max / 2  # type: ignore[attr-defined]
        assert "quota" in caught.value.message
        assert all(word in caught.value.hint for word in ("compact", "defrag", "alarm disarm", "--quota-backend-bytes"))
        assert (caught.value.exit_status, caught.value.retryable) == (13, True)
    assert hold.is_live()
    assert [one["name"] for one in board.board.read()["active_locks"]] == ["x"]
    assert len(board.mailbox.peek("a")) == 1
    found = store_looking.status(board)
    assert any("NOSPACE" in text for text in found["trouble"]), found
    assert store_looking.check(board)["findings"][0]["severity"] == "critical"

    make_room(board)

    assert hold.release()
    assert [message["body"] for message in board.mailbox.receive("a")] == ["hello"]
    with board.agent("b").lock("y"):
        assert store_looking.status(board)["is_healthy"]


def test_commit_that_the_server_takes_not_at_once_names_its_option(board: Latchboard) -> None:
    with pytest.raises(CommitTooLarge) as caught:
        board.agent("a").lock(*(f"src/{n}.py" for n in range(TXN_OPERATIONS + 1)))
    assert "--max-txn-ops" in caught.value.hint
    assert "src/" not in str(board.board.read()["active_locks"])

    with pytest.raises(CommitTooLarge) as caught:
        board.mailbox.send("a", "b", "x" * REQUEST_BYTES)
    assert "--max-request-bytes" in caught.value.hint

    with board.agent("a").lock(*(f"src/{n}.py" for n in range(4))):
        board.mailbox.send("a", "b", "x" * (REQUEST_BYTES // 4))
        assert len(board.mailbox.receive("b")) == 1
