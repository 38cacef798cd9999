"""The commands about the daemon, with a real one: what they say, their statuses, their answers held to the schemas."""

from __future__ import annotations

import json
import os
import signal
import urllib.parse
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from tests.process.nursery import PATIENCE_S
from tests.process.serving import TREE, Project, is_there, wait_until_gone

pytestmark = pytest.mark.process
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (TREE / "protocol" / "schema").glob("*.json")}
REGISTRY: Any = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
)


def answer(project: Project, *words: str, status: int = 0) -> dict[str, Any]:
    """What it answers with --json, which is what its schema says."""
    told = project.command(*words, "--json")
    assert told.returncode == status, told
    found: dict[str, Any] = json.loads(told.stdout)
    name = "error" if "code" in found else "-".join(word for word in words if not word.startswith("-"))
    jsonschema.Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(found)
    if name != "error":
        assert set(found) <= set(SCHEMAS[name]["properties"]), "the schema names every field"
    return found


def test_from_a_start_to_a_stop(project: Project) -> None:
    assert answer(project, "daemon", "status", status=3)["condition"] == "none"
    started = answer(project, "daemon", "start")
    assert (started["how"], started["port"], started["url"]) == (
        "started",
        project.first,
        f"http://127.0.0.1:{project.first}/",
    )
    assert answer(project, "daemon", "start")["how"] == "running"
    standing = answer(project, "daemon", "status")
    assert (standing["condition"], standing["daemon"]["pid"]) == ("running", started["pid"])
    restarted = answer(project, "daemon", "restart")
    assert restarted["pid"] != started["pid"] and restarted["port"] == started["port"]
    opened = answer(project, "daemon", "open", "--url")
    assert opened["page"] == f"{restarted['url']}#token={project.token()}"
    assert answer(project, "daemon", "orphans") == {
        "format": 1,
        "root": project.board.root,
        "orphans": [],
        "skipped": [],
    }
    assert answer(project, "daemon", "sweep")["swept"] == []
    stopped = answer(project, "daemon", "stop")
    assert (stopped["pid"], stopped["is_gone"], stopped["path"]) == (restarted["pid"], True, ["http"])
    assert answer(project, "daemon", "stop")["pid"] is None


def test_people_are_told_what_to_do_next(project: Project) -> None:
    said = project.command("daemon", "status")
    assert (
        said.stdout == f"the daemon does not run\n  to start it: latchboard daemon start --root {project.board.root}\n"
    )

    said = project.command("daemon", "start")
    pid = project.daemon.look().state.pid  # type: ignore[union-attr]
    assert said.stdout.splitlines() == [
        f"the daemon started: http://127.0.0.1:{project.first}/ (process {pid})",
        f"  to look at it: latchboard daemon open --root {project.board.root}",
    ]

    os.kill(pid, signal.SIGSTOP)
    said = project.command("daemon", "status")
    assert said.returncode == 3
    assert said.stdout.splitlines()[0] == f"the daemon (process {pid}) is there, and does not answer"
    assert said.stdout.splitlines()[1].startswith("  to restart it: latchboard daemon restart")

    said = project.command("daemon", "stop")
    assert said.stdout == f"the daemon (process {pid}) has ended, by SIGTERM, then by SIGKILL\n"
    assert not is_there(pid)
    assert project.command("daemon", "stop").stdout == "no daemon runs\n"


def test_who_ends_a_daemon_needs_no_configuration(project: Project) -> None:
    pid = answer(project, "daemon", "start")["pid"]
    (project.root / "latchboard.toml").write_text("daemon_port_first =\n")

    said = project.command("daemon", "stop")

    assert said.returncode == 0 and not is_there(pid), said
    assert "default settings count" in said.stderr
    assert project.command("daemon", "start").returncode == 2


@pytest.mark.parametrize("folder", ["plain", "C# 50%20 what? é"])
def test_the_page_is_opened_by_a_file_that_its_user_alone_can_read(tmp_path: Path, folder: str) -> None:
    with closing(Project(tmp_path / folder)) as project:
        _open_the_page(project, tmp_path)


def _open_the_page(project: Project, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    browser.chmod(0o755)
    os.environ["BROWSER"] = str(browser)
    try:
        said = project.command("daemon", "open")
    finally:
        del os.environ["BROWSER"]

    called = (tmp_path / "called").read_text().strip()
    file = project.registry / "serve.html"
    assert said.returncode == 0 and "opened http://127.0.0.1" in said.stdout
    address = urllib.parse.urlsplit(called)
    assert (address.scheme, address.query, address.fragment) == ("file", "", "")
    assert urllib.parse.unquote(address.path) == str(file.resolve())
    assert project.token() in file.read_text() and project.token() not in said.stdout + called
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_failed_start_is_an_error_of_the_contract(project: Project) -> None:
    project.registry.mkdir(parents=True)
    (project.registry / "serve.token").write_text("x")
    (project.registry / "serve.token").chmod(0o644)

    error = answer(project, "daemon", "start", status=13)

    assert (error["code"], error["cause"]) == ("daemon-failed", "store-forbidden")


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--port", "0"),
        ("serve", "--port", "65536"),
        ("serve", "--port", "x"),
        ("serve", "--host", "0.0.0.0"),
        ("serve", "--host", "not an address", "--allowed-hosts", "board.example"),
        ("serve", "--host", "198.51.100.7", "--allowed-hosts", "board.example"),
        ("serve", "--idle-s-max", "0"),
        ("serve", "--idle-s-max", "nan"),
        ("serve", "--ready-fd", "-1"),
        ("serve", "start"),
        ("daemon", "start", "--host", "0.0.0.0"),
        ("daemon", "restart", "--host", "192.0.2.1"),
    ],
)
def test_words_that_cannot_be_right_are_refused_and_nothing_runs(project: Project, words: tuple[str, ...]) -> None:
    said = project.command(*words)

    assert said.returncode == 2, said
    assert "Traceback" not in said.stderr
    assert project.pids() == []
    assert not (project.registry / "daemon.pid").exists()


def test_other_machines_may_reach_it_by_names_that_were_allowed_and_a_restart_keeps_that(project: Project) -> None:
    started = answer(project, "daemon", "start", "--host=0.0.0.0", "--allowed-hosts=board.example,other.example")
    assert (started["host"], started["url"]) == ("0.0.0.0", f"http://127.0.0.1:{project.first}/")
    assert started["allowed_hosts"] == ["board.example", "other.example"]

    again = answer(project, "daemon", "restart")

    assert (again["host"], again["allowed_hosts"]) == ("0.0.0.0", ["board.example", "other.example"])
    back = answer(project, "daemon", "restart", "--host=127.0.0.1")
    assert (back["host"], back["allowed_hosts"]) == ("127.0.0.1", [])


def test_names_alone_are_for_the_address_that_it_has(project: Project) -> None:
    """What is to be done when a tunnel's or a proxy's name is refused (docs/serve.md)."""
    assert answer(project, "daemon", "start")["allowed_hosts"] == []

    again = answer(project, "daemon", "restart", "--allowed-hosts=board.example")
    assert (again["host"], again["allowed_hosts"]) == ("127.0.0.1", ["board.example"])

    said = project.command("daemon", "start", "--host=127.0.0.2", "--allowed-hosts=other.example")
    assert "it listens on 127.0.0.1 (board.example): `daemon restart` changes that" in said.stdout
    assert "it listens on" not in project.command("daemon", "start", "--allowed-hosts=board.example").stdout
    assert answer(project, "daemon", "restart", "--allowed-hosts=")["allowed_hosts"] == []
    assert "it listens on" not in project.command("daemon", "start", "--host=localhost").stdout


def test_a_status_says_since_when_as_people_tell_the_time(project: Project) -> None:
    started_at = answer(project, "daemon", "start")["started_at"]

    for words in (("daemon", "status"), ("daemon", "verify")):
        said = project.command(*words)
        assert "Z (" in said.stdout and " ago)" in said.stdout
        assert started_at not in said.stdout


def test_in_the_foreground_it_says_where_in_one_line_of_json(project: Project) -> None:
    daemon = project.serve("--json")
    assert daemon.stdout is not None
    told = json.loads(daemon.stdout.readline())
    jsonschema.validate(told, SCHEMAS["serve"])
    assert told["pid"] == daemon.pid

    daemon.send_signal(signal.SIGTERM)

    assert daemon.wait(PATIENCE_S) == 0
    assert daemon.stdout.read() == ""
    wait_until_gone(daemon.pid)
