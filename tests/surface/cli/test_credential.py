from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.credential import FileCredentialStore, Grant, Issued, Secret
from latchboard.host.secret_file import SecretFile
from latchboard.machine_lock import MachineFileLock
from tests import issuer as issuers
from tests.surface.cli.harness import Cli
from tests.surface.cli.real import Real

TABLE = """
[credential.github]
token_endpoint = "{url}"
client_id = "me"
path = "own/github.json"
login_command = "gh-login --web"
"""


@pytest.fixture
def issuer() -> Iterator[issuers.Issuer]:
    with issuers.running() as running:
        yield running


@pytest.fixture
def github(cli: Cli, issuer: issuers.Issuer) -> FileCredentialStore:
    """The configured credential, expired."""
    (cli.project / "latchboard.toml").write_text(TABLE.format(url=issuer.url), encoding="utf-8")
    store = FileCredentialStore(SecretFile(str(cli.project / "own" / "github.json")))
    tokens = {"access_token": Secret(issuer.issued[1]), "refresh_token": Secret(issuer.good)}
    assert store.replace(Grant(generation=1, token_endpoint=issuer.url, expires_at=iso(0), **tokens), expected=None)
    return store


def test_refresh_and_status(cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer) -> None:
    before = cli("credential", "status")
    first = cli("credential", "refresh", "github")
    second = cli("credential", "refresh", "github", "--json")
    after = cli("credential", "status", "github", "--json")

    assert (before.status, first.status, second.status, after.status) == (0, 0, 0, 0)
    assert before.out.startswith("github: expired, version 1-")
    assert "refresh it: latchboard credential refresh github\n" in before.out
    assert first.out.startswith("github was refreshed: version 2-")
    assert second.json["outcome"] == "adopted_newer"
    (one,) = after.json["credentials"]
    assert (one["state"], one["generation"], one["can_refresh"]) == ("fresh", 2, True)
    assert len(issuer.requests) == 1
    everything = "".join(answer.out + answer.err for answer in (before, first, second, after))
    assert not [token for token in issuer.issued if token in everything]


def test_version_that_was_refused_is_refreshed_once(
    cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer
) -> None:
    version = cli("credential", "refresh", "github", "--json").json["version"]

    outcomes = [cli("credential", "refresh", "github", "--seen", version, "--json").json["outcome"] for _ in range(3)]

    assert outcomes == ["refreshed", "adopted_newer", "adopted_newer"]
    assert len(issuer.requests) == 2


def test_ended_grant_names_cause_and_command(cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer) -> None:
    issuer.good = "rotated-by-somebody-else"

    told = cli("credential", "refresh", "github")
    again = cli("credential", "refresh", "github", "--json")
    status = cli("credential", "status")

    assert (told.status, again.status, status.status) == (1, 1, 3)
    assert "was cleared: the issuer at 127.0.0.1:" in told.err
    assert "refused it: invalid_grant\n  hint: log in again: gh-login --web\n" in told.err
    assert again.json["code"] == "no-usable-grant"
    assert again.json["command"] == "gh-login --web"
    assert "github: cleared, version 2-" in status.out
    assert "refused it: invalid_grant, " in status.out
    assert "  log in again: gh-login --web\n" in status.out
    assert len(issuer.requests) == 1


def test_lock_that_does_not_become_free_is_10(cli: Cli, github: FileCredentialStore) -> None:
    with MachineFileLock(cli.project / "own" / "github.json.lock"):
        answer = cli("credential", "refresh", "github", "--wait-s-max", "0.01", "--json")
        status = cli("credential", "status", "--json")

    assert answer.status == 10
    assert answer.json["code"] == "refresh-busy"
    assert answer.json["retryable"]
    assert status.json["credentials"][0]["lock"]["pid"] > 0


def test_issuer_that_fails_is_13(cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer) -> None:
    issuer.answers[0] = (500, {}, b"")

    answer = cli("credential", "refresh", "github", "--json")

    assert (answer.status, answer.json["code"], answer.json["cause"]) == (13, "refresh-failed", "status 500")


def test_missing_and_unreadable(cli: Cli, github: FileCredentialStore) -> None:
    path = Path(github.where)
    path.chmod(0o644)
    open_to_all, refused = cli("credential", "status", "--json"), cli("credential", "refresh", "github")
    path.unlink()
    missing = cli("credential", "status")

    assert (open_to_all.status, refused.status, missing.status) == (3, 13, 3)
    assert open_to_all.json["credentials"][0]["state"] == "unreadable"
    assert "mode 0644" in refused.err
    assert "chmod 600" in refused.err
    assert missing.out.startswith("github: missing\n")


def test_nothing_is_configured(cli: Cli) -> None:
    assert "no credential is configured" in cli("credential", "status").out
    assert cli("credential", "status", "--json").json["credentials"] == []
    assert cli("credential", "refresh", "github").status == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('token_endpoint = "http://issuer.example/"', "token endpoint"),
        ("client_id = 5", "client_id is no text"),
        ('client_id = ""', "client_id is missing"),
        ('colour = "red"', "colour is not known"),
        ('store = "vault"', "store is one of file, keyring"),
        ('auth_method = "magic"', "auth_method is one of"),
        ("valid_s_min = true", "valid_s_min is no number"),
        ("call_s_max = 10", "a second less"),
    ],
)
def test_configuration_that_cannot_be_right(cli: Cli, line: str, words: str) -> None:
    given = {"token_endpoint": '"https://issuer.example/"', "client_id": '"me"'}
    key, _, value = line.partition(" = ")
    lines = [f"{name} = {text}" for name, text in {**given, key: value}.items()]
    (cli.project / "latchboard.toml").write_text("[credential.github]\n" + "\n".join(lines), encoding="utf-8")

    answer = cli("credential", "status")

    assert answer.status == 2
    assert words in answer.err
    assert cli("status").status == 0  # other verbs do not mind


def test_configuration_of_a_stranger_gets_no_token(
    cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer
) -> None:
    elsewhere = issuer.url.replace("/token", "/elsewhere")
    (cli.project / "latchboard.toml").write_text(TABLE.format(url=elsewhere), encoding="utf-8")

    answer = cli("credential", "refresh", "github", "--json")

    assert (answer.status, answer.json["code"]) == (1, "refresh-rejected")
    assert issuer.requests == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".x", "a b", "x" * 300])
def test_hostile_names(cli: Cli, name: str) -> None:
    table = TABLE.format(url="https://issuer.example/").replace("github]", f"{json.dumps(name)}]")
    (cli.project / "latchboard.toml").write_text(table, encoding="utf-8")

    assert cli("credential", "refresh", name).status == 2


def test_what_a_log_in_got_is_newer_than_anything(cli: Cli, github: FileCredentialStore) -> None:
    one = cli.board().credential("github")

    grant = one.accept(Issued(Secret("login-token-0000"), lifetime_s=60))

    assert grant.generation == 2
    assert grant.refresh_token is None  # not that of whoever was logged in before
    assert cli("credential", "status", "--json").json["credentials"][0]["generation"] == 2


def test_each_refresh_leaves_one_line_in_the_stores_journal(
    cli: Cli, github: FileCredentialStore, issuer: issuers.Issuer
) -> None:
    cli("credential", "refresh", "github")
    assert not (cli.project / "data").exists()
    cli("init")

    cli("credential", "refresh", "github")
    version = cli("credential", "status", "--json").json["credentials"][0]["version"]
    issuer.good = "rotated-by-somebody-else"
    told = cli("credential", "refresh", "github", "--seen", version)
    cli("credential", "refresh", "github")

    traces = [change.value for change in cli.board().store.watch("log/credential", after=0).poll()]
    found = [trace["outcome"] or trace["code"] for trace in traces if trace]
    assert found == ["adopted_newer", "current_rejection_cleared", "no-usable-grant"]
    assert "credential.refresh" not in told.err  # the log line is not for whoever typed the command
    text = json.dumps(traces)
    assert "gh-login --web" in text
    assert not [token for token in issuer.issued if token in text]


def test_default_place_is_the_users_state_folder_and_the_secret_comes_from_the_environment(
    cli: Cli, issuer: issuers.Issuer, tmp_path: Path
) -> None:
    table = f'[tool.latchboard.credential.github]\ntoken_endpoint = "{issuer.url}"\nclient_id = "me"\n'
    (cli.project / "pyproject.toml").write_text(table + 'client_secret_env = "GITHUB_SECRET"\n', encoding="utf-8")
    path = tmp_path / "state" / "latchboard" / "credentials" / "github.json"
    path.parent.mkdir(parents=True)
    record = {"schema_version": 1, "generation": 1, "token_endpoint": issuer.url, "refresh_token": issuer.good}
    path.touch(mode=0o600)
    path.write_text(json.dumps({**record, "expires_at": "2020-01-01T00:00:00Z", "note": "kept"}), encoding="utf-8")
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}

    without = cli("credential", "refresh", "github", **state)
    done = cli("credential", "refresh", "github", **state, GITHUB_SECRET="s3cret-0000")

    assert without.status == 2
    assert "client secret of github is empty" in without.err
    assert done.status == 0
    assert issuer.requests[0]["basic"] == "me:s3cret-0000"
    assert json.loads(path.read_text(encoding="utf-8"))["note"] == "kept"
    assert "s3cret-0000" not in path.read_text(encoding="utf-8") + done.out + done.err


def test_eight_shells_make_one_request(real: Real, issuer: issuers.Issuer) -> None:
    (real.project / "latchboard.toml").write_text(TABLE.format(url=issuer.url), encoding="utf-8")
    store = FileCredentialStore(SecretFile(str(real.project / "own" / "github.json")))
    tokens: dict[str, Any] = {"access_token": Secret(issuer.issued[1]), "refresh_token": Secret(issuer.good)}
    store.replace(Grant(generation=1, token_endpoint=issuer.url, expires_at=iso(0), **tokens), expected=None)
    gate = issuer.gates[0] = issuers.Gate()

    running = [real.start("credential", "refresh", "github", "--json") for _ in range(8)]
    assert gate.arrived.wait(issuers.PATIENCE_S)
    gate.release.set()
    answers = [process.communicate(timeout=issuers.PATIENCE_S) for process in running]

    assert sorted(json.loads(out)["outcome"] for out, _ in answers) == ["adopted_newer"] * 7 + ["refreshed"]
    assert len(issuer.requests) == 1
    assert not [token for token in issuer.issued for out, err in answers if token in out + err]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_the_call_ends_it_after_what_the_issuer_gave_is_written(
    real: Real, issuer: issuers.Issuer, number: signal.Signals
) -> None:
    (real.project / "latchboard.toml").write_text(TABLE.format(url=issuer.url), encoding="utf-8")
    store = FileCredentialStore(SecretFile(str(real.project / "own" / "github.json")))
    tokens: dict[str, Any] = {"access_token": Secret(issuer.issued[1]), "refresh_token": Secret(issuer.good)}
    store.replace(Grant(generation=1, token_endpoint=issuer.url, expires_at=iso(0), **tokens), expected=None)
    gate = issuer.gates[0] = issuers.Gate(is_behind=True)  # the tokens are turned: the old one is worth nothing
    process = real.start("credential", "refresh", "github")
    assert gate.arrived.wait(issuers.PATIENCE_S)

    process.send_signal(number)
    gate.release.set()
    process.communicate(timeout=issuers.PATIENCE_S)

    assert process.returncode == 128 + number
    found = store.load()
    assert found is not None
    assert found.refresh_token == Secret(issuer.good)
