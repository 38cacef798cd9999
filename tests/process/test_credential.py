"""Real processes, a real token endpoint with rotating tokens, and files as barriers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.credential import FileCredentialStore, Grant, Secret
from latchboard.host.secret_file import SecretFile
from tests.issuer import PATIENCE_S, Gate, Issuer, running
from tests.process.nursery import ROOT, until

pytestmark = pytest.mark.process


class Scene:
    """One credential, its issuer, and processes that refresh it."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.folder = folder
        self.issuer = issuer
        self.path = folder / "own" / "github.json"
        self.store = FileCredentialStore(SecretFile(str(self.path)))
        self.processes: list[subprocess.Popen[str]] = []
        first = Grant(
            generation=1,
            token_endpoint=issuer.url,
            access_token=Secret(issuer.issued[1]),
            refresh_token=Secret(issuer.good),
            expires_at=iso(1.0),
        )
        assert self.store.replace(first, expected=None)

    def start(self, *, lock: str = "own/github.lock", go: str = "go", **limits: float) -> subprocess.Popen[str]:
        """A process that has read the credential, and refreshes it as soon as the file `go` is there."""
        ready = self.folder / f"ready-{len(self.processes)}"
        given = {
            "path": str(self.path),
            "endpoint": self.issuer.url,
            "lock": str(self.folder / lock),
            "ready": str(ready),
            "go": str(self.folder / go),
            "limits": limits,
        }
        command = [sys.executable, "-m", "tests.process.credential", json.dumps(given)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        self.processes.append(process)
        until(lambda: ready.exists() or process.poll() is not None, "the process is ready")
        return process

    def go(self, name: str = "go") -> None:
        (self.folder / name).touch()

    def result(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        leaked = [token for token in self.issuer.issued if token in out + err]
        assert not leaked
        assert err.count("credential.refresh outcome=") == 1, err
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    @property
    def grant(self) -> Grant:
        found = self.store.load()
        assert found is not None
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with running() as issuer:
        one = Scene(tmp_path, issuer)
        yield one
        for process in one.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def test_incident_rotation_during_the_second_ones_call(scene: Scene) -> None:
    """The one that the lock does not keep out (an older program, another container) rotates while ours is asking."""
    gate = scene.issuer.gates[0] = Gate()
    ours = scene.start(go="go-ours")
    theirs = scene.start(go="go-theirs", lock="own/another.lock")

    scene.go("go-ours")
    assert gate.arrived.wait(PATIENCE_S)  # ours has shown the first token, and has no answer yet
    scene.go("go-theirs")
    their_result = scene.result(theirs)
    rotated = scene.grant.version
    gate.release.set()
    our_result = scene.result(ours)

    assert their_result["outcome"] == "refreshed"
    assert our_result["outcome"] == "stale_rejection_preserved"
    assert our_result["version"] == their_result["version"] == rotated == scene.grant.version
    assert scene.grant.cleared is None
    assert [form["refresh_token"] for form in scene.issuer.requests] == ["first-refresh-token-0000"] * 2
    again = scene.start(go="go-ours")
    assert scene.result(again)["outcome"] == "refreshed"  # what was kept is good


def test_incident_the_other_way_round_the_refused_one_clears_before_the_first_has_its_answer(scene: Scene) -> None:
    gate = scene.issuer.gates[0] = Gate(is_behind=True)
    first = scene.start(go="go-first")
    second = scene.start(go="go-second", lock="own/another.lock")

    scene.go("go-first")
    assert gate.arrived.wait(PATIENCE_S)  # the issuer has rotated; the answer is on its way
    scene.go("go-second")
    assert scene.result(second)["outcome"] == "current_rejection_cleared"
    assert scene.grant.cleared is not None
    gate.release.set()
    result = scene.result(first)

    assert result["outcome"] == "refreshed"
    assert (scene.grant.version, scene.grant.generation, scene.grant.cleared) == (result["version"], 3, None)
    assert scene.grant.refresh_token == Secret(scene.issuer.good)  # the one good token is not lost


def test_same_incident_without_a_newer_grant_clears_and_says_why(scene: Scene) -> None:
    scene.issuer.good = "somebody-else-has-rotated-it"
    ours = scene.start()
    scene.go()

    assert scene.result(ours)["outcome"] == "current_rejection_cleared"
    assert scene.grant.cleared is not None
    assert "invalid_grant" in scene.grant.cleared["cause"]
    assert scene.grant.cleared["command"] == "gh-login"
    later = scene.start()
    told = scene.result(later)
    assert (told["code"], told["command"]) == ("no-usable-grant", "gh-login")
    assert len(scene.issuer.requests) == 1


def test_twenty_processes_that_find_one_token_expired_make_one_request(scene: Scene) -> None:
    processes = [scene.start() for _ in range(20)]
    gate = scene.issuer.gates[0] = Gate()

    scene.go()
    assert gate.arrived.wait(PATIENCE_S)
    gate.release.set()
    results = [scene.result(process) for process in processes]

    assert sorted(result["outcome"] for result in results) == ["adopted_newer"] * 19 + ["refreshed"]
    assert {result["version"] for result in results} == {scene.grant.version}
    assert len(scene.issuer.requests) == 1


def test_twenty_processes_of_a_refused_token_clear_it_once(scene: Scene) -> None:
    scene.issuer.good = "somebody-else-has-rotated-it"
    processes = [scene.start() for _ in range(20)]

    scene.go()
    results = [scene.result(process) for process in processes]

    outcomes = [result.get("outcome") or result["code"] for result in results]
    assert sorted(outcomes) == ["current_rejection_cleared"] + ["no-usable-grant"] * 19
    assert all(result.get("command", "gh-login") == "gh-login" for result in results)
    assert len(scene.issuer.requests) == 1


def test_who_waits_takes_over_from_one_that_is_killed_in_its_call(scene: Scene) -> None:
    gate = scene.issuer.gates[0] = Gate()
    first = scene.start(go="go-first")
    second = scene.start(go="go-second")
    scene.go("go-first")
    assert gate.arrived.wait(PATIENCE_S)

    scene.go("go-second")
    first.kill()
    result = scene.result(second)

    assert result["outcome"] == "refreshed"
    assert scene.grant.version == result["version"]
    assert len(scene.issuer.requests) == 2


def test_lock_timeouts(scene: Scene) -> None:
    gate = scene.issuer.gates[0] = Gate()
    slow = scene.start(go="go-slow")
    scene.go("go-slow")
    assert gate.arrived.wait(PATIENCE_S)

    hasty = scene.start(go="go-slow", lock_wait_s_max=0.3)
    told = scene.result(hasty)
    gate.release.set()

    assert told["outcome"] == "lock_timeout_error"
    assert 0.3 <= told["waited_s"] < PATIENCE_S
    assert scene.result(slow)["outcome"] == "refreshed"


def test_call_that_never_ends_leaves_lock_and_grant(scene: Scene) -> None:
    scene.issuer.gates[0] = Gate()
    before = scene.grant.version
    hanging = scene.start(call_s_max=0.5, hold_s_max=60.0)
    scene.go()

    told = scene.result(hanging)
    assert (told["code"], told["cause"], told["retryable"]) == ("refresh-failed", "timeout", True)
    assert scene.grant.version == before
    scene.issuer.gates.clear()
    assert scene.result(scene.start())["outcome"] == "refreshed"
