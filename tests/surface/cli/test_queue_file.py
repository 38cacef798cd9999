"""queue import, export, sync, board and graph, as they are typed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.errors import UsageError
from latchboard.settings import Settings
from latchboard.surface.cli.progress import Progress
from tests.surface.cli.harness import Cli

SCHEMAS = Path(__file__).parents[3] / "protocol" / "schema"


def task(task_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "title": f"Do {task_id}", "status": "ready", "priority": 5, **fields}


def write(path: Path, *tasks: Any, **rest: Any) -> Path:
    path.write_text(json.dumps({**rest, "tasks": list(tasks)}))
    return path


def test_a_file_is_imported_and_exported_again(cli: Cli, tmp_path: Path) -> None:
    source = write(tmp_path / "q.json", task("a", type="x"), task("b", dependencies=["a"]), wip_limits={"builder": 2})

    told = cli.says("queue", "import", str(source), "--agent", "lead")
    again = cli("queue", "import", str(source), "--agent", "lead", "--json").json
    target = tmp_path / "out.json"
    cli("queue", "export", str(target))

    assert told == f"imported 2 jobs from {source}\n  limit of builder: 2\n"
    assert (again["imported"], again["same_count"]) == ([], 2)
    found = json.loads(target.read_text())
    jsonschema.validate(found, json.loads((SCHEMAS / "queue_file.json").read_text()))
    assert [(one["id"], one.get("type")) for one in found["tasks"]] == [("a", "x"), ("b", None)]
    assert json.loads(cli("queue", "export").out) == found
    assert cli("queue", "export", "--json").json["document"] == found
    assert cli("queue", "export", str(target), "--json").json["jobs_count"] == 2


def test_standard_input_is_imported(cli: Cli) -> None:
    data = json.dumps({"tasks": [task("a")]})

    assert cli("queue", "import", "-", "--agent", "lead", "--json", stdin=data).json["imported"] == ["a"]


def test_standard_input_without_end_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("latchboard.host.queue_file.BYTES_MAX", 100)

    found = cli("queue", "import", "-", "--agent", "lead", "--json", stdin=json.dumps({"tasks": [task("a")] * 3}))

    assert (found.status, found.json["message"]) == (2, "standard input is larger than 100 bytes")


@pytest.mark.parametrize(
    ("text", "status"), [("{", 12), ('{"tasks": [{"id": "a", "title": "T", "priority": "x"}]}', 12)]
)
def test_what_is_no_queue_file_is_an_error_with_its_own_status(
    cli: Cli, tmp_path: Path, text: str, status: int
) -> None:
    path = tmp_path / "q.json"
    path.write_text(text)

    for verb in ("import", "sync"):
        found = cli("queue", verb, str(path), "--agent", "lead", "--json")
        assert (found.status, found.json["code"]) == (status, "malformed-record")
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["missing.json", ".", "pipe", "nowhere/q.json"])
def test_what_cannot_be_read_is_refused(cli: Cli, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")

    found = cli("queue", "import", str(tmp_path / name), "--agent", "lead", "--json")

    assert found.status in (2, 13)
    assert cli("queue", "import", "a", "b", "--agent", "lead").status == 2


def test_nothing_but_a_queue_file_is_replaced_by_an_export(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")

    assert cli("queue", "export", str(path)).status == 2
    assert path.read_text() == "mine"
    assert cli("queue", "export", str(path), "--force").status == 0
    assert cli("queue", "export", str(path)).status == 0
    assert cli("queue", "export", str(tmp_path / "no" / "folder")).status == 2


def test_differences_are_told_by_name_until_a_side_is_preferred(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path / "q.json", task("a"))
    cli("queue", "add", "builder", "Do a", "--id", "a", "--agent", "lead")

    refused = cli("queue", "import", str(path), "--agent", "lead", "--json")
    synced = cli("queue", "sync", str(path), "--agent", "lead")

    assert (refused.status, refused.json["code"]) == (10, "file-conflict")
    assert refused.json["conflicts"][0]["field"] == "priority"
    assert synced.status == 10
    assert "conflict: a.priority: both sides changed it" in synced.out
    assert cli("queue", "sync", str(path), "--prefer", "file", "--agent", "lead").status == 0
    assert cli("queue", "show", "a", "--json").json["job"]["priority"] == 5
    assert cli.says("queue", "sync", str(path), "--agent", "lead") == f"{path} and the queue say the same\n"


def test_the_file_of_the_setting_follows_every_command(cli: Cli) -> None:
    assert cli("queue", "sync", "--agent", "lead").status == 2
    cli.settings = Settings(queue_file="SPRINT_QUEUE.json")
    path = cli.project / "SPRINT_QUEUE.json"

    cli("queue", "add", "builder", "Do a", "--id", "a", "--agent", "lead")
    assert json.loads(path.read_text())["tasks"][0]["status"] == "ready"
    cli("queue", "claim", "builder", "--agent", "b1")
    assert json.loads(path.read_text())["tasks"][0]["agent"] == "b1"
    document = json.loads(path.read_text())
    document["tasks"].append(task("b"))
    path.write_text(json.dumps(document))
    claimed = cli("queue", "claim", "builder", "--agent", "b2", "--json").json

    assert claimed["job"]["id"] == "b"
    path.write_text("{")
    blocked = cli("queue", "add", "builder", "c", "--agent", "lead")
    assert blocked.status == 0
    assert "SPRINT_QUEUE.json was left alone" in blocked.err
    assert cli("queue", "claim", "tester", "--agent", "b1").err.count("SPRINT_QUEUE.json was left alone") == 1
    for words in ((), (str(path),)):
        assert cli("queue", "sync", *words, "--agent", "lead").err.count("is no queue file") == 1
    elsewhere = cli("queue", "sync", str(path.with_name("other.json")), "--agent", "lead")
    assert "SPRINT_QUEUE.json was left alone" in elsewhere.err
    assert path.read_text() == "{"


def test_a_conflict_is_told_beside_the_answer(cli: Cli) -> None:
    cli.settings = Settings(queue_file="q.json")
    write(cli.project / "q.json", task("a"))
    assert cli("queue", "sync", "--agent", "lead").status == 0
    write(cli.project / "q.json", task("a", result=3))

    found = cli("queue", "claim", "builder", "--agent", "b1")

    assert found.status == 0
    assert "q.json and the queue say different things" in found.err


@pytest.mark.parametrize("name", ["/etc/q.json", "../q.json", "a//b", "./q.json", "a/..", "\0", 3])
def test_a_setting_that_leads_out_of_the_project_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match="inside the project"):
        Settings(queue_file=name)


def test_the_board_shows_who_works_on_what(cli: Cli) -> None:
    assert cli.says("queue", "board") == "the queue is empty\n"
    for name in "abcdefghijkl":
        cli("queue", "add", "builder", f"Do {name}", "--id", name, "--agent", "lead")
    cli("queue", "add", "tester", "Test", "--id", "t", "--after", "b", "--agent", "lead")
    cli("queue", "add", "builder", "Later", "--id", "z", "--ready-at", "2099-01-01T00:00:00Z", "--agent", "lead")
    token = str(cli("queue", "claim", "builder", "--agent", "b1", "--json").json["lease"]["token"])
    cli("queue", "fail", "a", "--token", token, "--error", "no\nluck", "--final")
    cli("queue", "claim", "builder", "--agent", "b1")
    cli("queue", "cancel", "c", "--agent", "lead")

    found = cli("queue", "board")
    facts = cli("queue", "board", "--cards", "2", "--json").json

    assert "in progress: builder 1 of 3, tester 0 of 2" in found.out
    for words in ("in_progress (1)", "b1, ", "waits for b", "... and 2 more", "dead (1)", "luck", "cancelled (1)"):
        assert words in found.out
    assert [(one["status"], one["count"], len(one["jobs"])) for one in facts["columns"]] == [
        ("ready", 10, 2),
        ("in_progress", 1, 1),
        ("awaiting_test", 1, 1),
        ("cancelled", 1, 1),
        ("dead", 1, 1),
    ]
    assert facts["columns"][4]["jobs"][0]["error"] == "no\nluck"
    assert "not before" in cli("queue", "board", "--cards", "20").out
    assert cli("queue", "board", "--cards", "1001").status == 2


def test_the_graph_is_drawn_for_other_programs(cli: Cli) -> None:
    cli("queue", "add", "builder", "Do a", "--id", "end", "--agent", "lead")
    cli("queue", "add", "builder", 'x"] --> n0["y', "--id", "b", "--after", "end", "--parent", "end", "--agent", "lead")

    assert cli("queue", "graph", "--form", "mermaid").status == 0
    assert cli("queue", "graph", "--form", "dot").out.startswith("digraph queue {\n")
    assert cli("queue", "graph", "--form", "svg").status == 2


class Watched:
    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        if "gone" in self.written:
            raise BrokenPipeError
        self.written += text

    def flush(self) -> None:
        pass


class Asked:
    as_json = False

    def __init__(self) -> None:
        self.checked = 0

    def check_signals(self) -> None:
        self.checked += 1


def test_a_bar_is_drawn_where_a_person_looks_and_nothing_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, asked = Watched(), Asked()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    with Progress(asked, "importing") as progress:  # type: ignore[arg-type]
        progress(2500, 10_000)
        progress(10_000, 10_000)

    assert "importing [#######-----------------------] 2,500 of 10,000" in watched.written
    assert watched.written.endswith("10,000 of 10,000\r\x1b[K")
    assert asked.checked == 2


@pytest.mark.parametrize(("columns", "cells"), [(60, 30), (50, 20), (20, 0)])
def test_a_bar_is_no_longer_than_a_line(monkeypatch: pytest.MonkeyPatch, columns: int, cells: int) -> None:
    watched, asked = Watched(), Asked()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))

    with Progress(asked, "importing") as progress:  # type: ignore[arg-type]
        progress(10_000, 10_000)

    assert watched.written == f"\r\x1b[Kimporting [{'#' * cells}] 10,000 of 10,000\r\x1b[K"


def test_a_bar_is_not_drawn_for_a_program_and_its_end_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, asked = Watched(), Asked()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setenv("TERM", "xterm")
    asked.as_json = True
    with Progress(asked, "importing") as progress:  # type: ignore[arg-type]
        progress(1, 2)
    assert watched.written == ""

    asked.as_json = False
    watched.written = "gone"
    with Progress(asked, "importing") as progress:  # type: ignore[arg-type]
        progress(1, 2)
        progress(2, 2)
    assert asked.checked == 3
