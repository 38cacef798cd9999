"""Pair: three files locked and released on one member, against the same two transactions by a bare HTTP client.

The bare client sends what ours sent, byte for byte but for the revisions that it compares, which it keeps up itself.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from base64 import b64decode
from collections.abc import Callable
from time import perf_counter
from typing import Any

import urllib3

from benchmarks.measure import goal, interleaved, summary
from latchboard import Latchboard
from latchboard.clock import SystemClock
from latchboard.store.etcd.gateway import packed
from latchboard.store.etcd.store import EtcdStore
from tests.store.etcd.server import BINARY, Place

FILES = ("src/a.py", "src/b.py", "src/c.py")


def pair_and_watch(share: float) -> list[dict[str, Any]]:
    """Both results; nothing where no etcd is installed."""
    if shutil.which(BINARY) is None:
        return []
    place = Place()
    try:
        return [_pair(place, max(100, int(1000 * share))), _watch(place, max(50, int(300 * share)))]
    finally:
        place.close()


def _pair(place: Place, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = EtcdStore(place.access(), clock=SystemClock())
        me = Latchboard(folder, store=store, publishes=False).agent("bench")

        def ours() -> None:
            me.lock(*FILES).release()

        ours()
        sent = _sent(store, ours)
        found = interleaved(
            {"bare urllib3": Bare(place, store.access.prefix, sent), "latchboard": ours}, rounds=rounds, batch=50
        )
        store.close()
    ratio = statistics.median(found["latchboard"]) / statistics.median(found["bare urllib3"])
    return {
        "name": "etcd: acquire + release of three files",
        "figures": {name: summary(seconds) for name, seconds in found.items()},
        "goals": [
            goal("requests", len(sent), 2),
            goal("p50 against the same two transactions by a bare client", ratio, 2.0),
        ],
    }


def _sent(store: EtcdStore, action: Callable[[], None]) -> list[dict[str, Any]]:
    """Every request of an action that is warm."""
    sent: list[dict[str, Any]] = []
    gateway: Any = store._cluster.gateway
    real = gateway._call

    def noted(path: str, body: dict[str, Any], deadline: float, *, once: bool) -> Any:
        sent.append({"path": path, "body": json.loads(json.dumps(body))})
        return real(path, body, deadline, once=once)

    gateway._call = noted
    try:
        action()
        sent.clear()
        action()
    finally:
        del gateway._call
    return sent


class Bare:
    """Sends them again and again, in turn, below another prefix of the same length."""

    def __init__(self, place: Place, prefix: str, sent: list[dict[str, Any]]) -> None:
        self._pool = urllib3.connection_from_url(place.members[0].client)
        theirs = place.access().prefix
        self._sent = [_moved(request, prefix, theirs) for request in sent]
        self._revisions: dict[str, str] = {}
        self._newest = 0
        made: set[str] = set()
        for request in self._sent:  # what is there between two pairs
            for compare in request["body"].get("compare", ()):
                is_there = compare["target"] == "MOD" and compare["mod_revision"] != "0"
                if is_there and "range_end" not in compare and compare["key"] not in made:
                    body = json.dumps({"key": compare["key"], "value": packed("{}")})
                    told = json.loads(self._pool.urlopen("POST", "/v3/kv/put", body=body).data)
                    self._revisions[compare["key"]] = told["header"]["revision"]
            made.update(o["request_put"]["key"] for o in request["body"]["success"] if "request_put" in o)

    def __call__(self) -> None:
        for request in self._sent:
            body = request["body"]
            for compare in body.get("compare", ()):
                if compare["target"] == "MOD" and compare["mod_revision"] != "0" and "range_end" not in compare:
                    compare["mod_revision"] = self._revisions.get(compare["key"], compare["mod_revision"])
                elif compare["result"] == "LESS":  # nothing was put into the range since
                    compare["mod_revision"] = str(self._newest + 1)
            data = json.dumps(body, separators=(",", ":"))
            response = self._pool.urlopen(
                "POST", request["path"], body=data, headers={"Content-Type": "application/json"}, retries=False
            )
            told = json.loads(response.data)
            self._newest = int(told["header"]["revision"])
            assert told.get("succeeded"), "the bare client does not send the same transactions"
            for operation in body["success"]:
                if "request_put" in operation:
                    self._revisions[operation["request_put"]["key"]] = told["header"]["revision"]


def _moved(value: Any, ours: str, theirs: str) -> Any:
    """The same request about keys below another prefix."""
    if isinstance(value, dict):
        moved = {name: _moved(one, ours, theirs) for name, one in value.items()}
        for name in ("key", "range_end"):
            if name in moved:
                moved[name] = packed(b64decode(moved[name]).replace(ours.encode(), theirs.encode(), 1))
        return moved
    return [_moved(one, ours, theirs) for one in value] if isinstance(value, list) else value


def _watch(place: Place, rounds: int) -> dict[str, Any]:
    """From before a commit to the change in another process's hands."""
    access, clock = place.access(), SystemClock()
    store, other = (EtcdStore(access, clock=clock) for _ in range(2))
    store.transact(lambda view: view.put("agents/a", {"n": 0}), who="a")
    watch = other.watch("", after=0)
    watch.poll()
    seconds = []
    for n in range(rounds):
        since = perf_counter()
        store.transact(lambda view, n=n: view.put("agents/a", {"n": n}), who="a")
        while not watch.poll():
            clock.wait([watch], 1.0)
        seconds.append(perf_counter() - since)
    watch.close()
    store.close()
    other.close()
    return {
        "name": "etcd: a change seen by a watch",
        "figures": {"commit and watch": summary(seconds)},
        "goals": [goal("p50, ms", statistics.median(seconds) * 1000, 10.0)],
    }
