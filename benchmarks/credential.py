"""Credentials: what the lock adds to a refresh, and how long twenty processes take for one expired token."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.measure import goal, interleaved, percentile, summary
from latchboard.clock import iso
from latchboard.credential import FileCredentialStore, Grant, Issued, Secret
from latchboard.credential.transaction import run_refresh_transaction
from latchboard.host.secret_file import SecretFile
from tests.issuer import Issuer, running

CALL_S = 0.5
PROCESSES_COUNT = 20


class Instant:
    """An issuer that answers at once."""

    def prepare(self) -> None:
        """Nothing is slow here."""

    async def refresh(self, grant: Grant) -> Issued:
        return Issued(Secret("access"), Secret("refresh"), lifetime_s=3600)


def overhead(rounds: int) -> dict[str, Any]:
    """A whole transaction with an issuer that takes no time, beside the load and the durable write that it needs."""
    with tempfile.TemporaryDirectory() as folder:
        store = FileCredentialStore(SecretFile(f"{folder}/own/x.json"))
        first = Grant(generation=1, token_endpoint="https://x", refresh_token=Secret("refresh"), expires_at=iso(0))
        store.replace(first, expected=None)
        loop = asyncio.new_event_loop()
        instant = Instant()

        def transaction() -> None:
            found = store.load()
            assert found is not None
            work = run_refresh_transaction("x", store, instant, lock_path=f"{folder}/own/x.lock", seen=found.face)
            assert loop.run_until_complete(work).outcome == "refreshed"

        def bare() -> None:
            found = store.load()
            assert found is not None
            store.replace(found.renewed(loop.run_until_complete(instant.refresh(found)), now_s=0), expected=found.face)

        found = interleaved({"load, call, write": bare, "transaction": transaction}, rounds=rounds, batch=10)
        loop.close()
    added_s = percentile(found["transaction"], 0.95) - percentile(found["load, call, write"], 0.5)
    return {
        "name": "lock overhead of a refresh transaction",
        "figures": {name: summary(seconds) for name, seconds in found.items()},
        "goals": [goal("added to a refresh, p95 (less the bare p50), ms", added_s * 1000, 50)],
    }


def crowd(rounds: int) -> dict[str, Any]:
    """Twenty processes, already started, find one token expired; beside one process alone."""
    alone, together, requests_max = [], [], 0
    for _ in range(rounds):
        alone.append(_once(1)[0])
        taken_s, requests_count = _once(PROCESSES_COUNT)
        together.append(taken_s)
        requests_max = max(requests_max, requests_count)
    return {
        "name": f"{PROCESSES_COUNT} processes on one expired token, issuer takes {CALL_S} s",
        "figures": {"one process": summary(alone), f"{PROCESSES_COUNT} processes": summary(together)},
        "goals": [
            goal("requests at the issuer, most of any round", requests_max, 1),
            goal(
                "wall time against one refresh (medians)", statistics.median(together) / statistics.median(alone), 1.5
            ),
        ],
    }


def _once(count: int) -> tuple[float, int]:
    """Seconds from the barrier to the end of the last process, and how many requests came."""
    with tempfile.TemporaryDirectory() as folder, running() as issuer:
        issuer.delay_s = CALL_S
        processes = [_start(folder, issuer, number) for number in range(count)]
        while not all(os.path.exists(f"{folder}/ready-{number}") for number in range(count)):
            time.sleep(0.01)
        time.sleep(0.2)  # the last one settles
        started_s = time.monotonic()
        with open(f"{folder}/go", "x", encoding="utf-8"):
            pass
        answers = [json.loads(process.communicate()[0]) for process in processes]
        assert all(answer["outcome"] in ("refreshed", "adopted_newer") for answer in answers)
        return max(answer["ended_s"] for answer in answers) - started_s, len(issuer.requests)


def _start(folder: str, issuer: Issuer, number: int) -> subprocess.Popen[str]:
    store = FileCredentialStore(SecretFile(f"{folder}/own/x.json"))
    if number == 0:
        token = Secret(issuer.good)
        store.replace(
            Grant(generation=1, token_endpoint=issuer.url, refresh_token=token, expires_at=iso(0)), expected=None
        )
    given = {
        "path": store.where,
        "endpoint": issuer.url,
        "lock": f"{folder}/own/x.lock",
        "ready": f"{folder}/ready-{number}",
        "go": f"{folder}/go",
    }
    command = [sys.executable, "-m", "tests.process.credential", json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
