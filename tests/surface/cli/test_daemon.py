from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from latchboard.settings import Settings
from tests.surface.cli.harness import Cli

OPTION = "enforce_single_daemon_process"
PYTHON = "/usr/bin/python3.11"


def start(cli: Cli, root: str = "", **facts: Any) -> Any:
    identity = cli.machine.spawn()
    argv = [PYTHON, "-m", "latchboard", "serve", "--root", root or str(cli.project.resolve())]
    cli.machine.dress(identity, **{"argv": argv, "exe": PYTHON, **facts})
    return identity


def record(cli: Cli, identity: Any, **changed: Any) -> None:
    folder = cli.project / "data" / ".agent_pids"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "daemon.pid").write_text(f"{identity['pid']}\n")
    facts = {"format": 1, "process": {**identity, **changed}, "started_at": "2026-11-21T01:40:00.000000Z"}
    (folder / "daemon.json").write_text(json.dumps(facts))


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_without_a_record_it_is_a_finding(cli: Cli) -> None:
    answer = cli("daemon", "verify")

    assert answer.status == 3
    assert answer.out.startswith("no daemon is recorded\nno container: 0 points, 3 are enough; without hard evidence\n")
    assert "enforcement is off" in answer.out


def test_daemon_that_runs_is_verified_and_nothing_is_written(cli: Cli) -> None:
    daemon = start(cli)
    record(cli, daemon)
    before = files(cli.project)

    plain, answer = cli("daemon", "verify"), cli("daemon", "verify", "--json")

    assert plain.status == answer.status == 0
    assert f"the recorded daemon runs: process {daemon['pid']}, started 01:40:00Z (0 s ago)" in plain.out
    assert answer.json["recorded"]["state"] == "running"
    assert answer.json["processes"] is None
    assert files(cli.project) == before


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({"start": 1}, "stale", "its number belongs to another process"),
        ({"pid_ns": 9}, "unknowable", "another pid namespace"),
        ({"host": "x", "boot": "y"}, "unknowable", "another machine"),
        ({"boot": "fake-boot-0"}, "stale", "it has ended"),
        ({"pid": "x"}, "stale", "names no process"),
    ],
)
def test_record_that_is_not_the_daemon_is_a_finding(cli: Cli, changed: dict[str, Any], state: str, said: str) -> None:
    record(cli, start(cli), **changed)

    plain, answer = cli("daemon", "verify"), cli("daemon", "verify", "--json")

    assert plain.status == answer.status == 3
    assert said in plain.out
    assert answer.json["recorded"]["state"] == state


def test_one_process_is_judged_by_its_pid(cli: Cli) -> None:
    ours, other = start(cli), start(cli, "/srv/other")

    assert cli("daemon", "verify", "--pid", str(ours["pid"])).status == 0
    answer = cli("daemon", "verify", "--pid", str(other["pid"]))
    assert answer.status == 3
    assert "is not this project's daemon: it is the daemon of another project" in answer.out
    assert cli("daemon", "verify", "--pid", "0").status == 2
    assert cli("daemon", "verify", "--pid", "x").status == 2
    assert cli("daemon", "verify", "--pid", "999999999999", "--json").json["checked"]["why"] == "dead"


def test_scan_lists_everybody_with_our_name_and_says_who_would_end(cli: Cli) -> None:
    healthy, second, other = start(cli), start(cli), start(cli, "/srv/other")
    editor = start(cli, argv=["vim", "latchboard"], exe="/usr/bin/vim")
    record(cli, healthy)
    cli.settings = Settings(enforce_single_daemon_process=True)
    cli.machine.surround(has_dockerenv=True)

    answer = cli("daemon", "verify", "--scan", "--json").json

    assert {one["pid"]: (one["is_ours"], one["why"], one["would_end"]) for one in answer["processes"]} == {
        healthy["pid"]: (True, "recorded", False),
        second["pid"]: (True, "", True),
        other["pid"]: (False, "other-project", False),
        editor["pid"]: (False, "other-program", False),
    }
    assert answer["enforcement"] == {"is_on": True, "mode": "container"}
    plain = cli("daemon", "verify", "--scan").out
    assert f"process {second['pid']}: ours, one too many; a start would end it" in plain
    assert "  2 daemons of this project\n" in plain
    assert cli.machine.signals == []


def test_points_of_a_tool_alone_end_nobody(cli: Cli) -> None:
    start(cli)
    cli.settings = Settings(enforce_single_daemon_process=True)
    cli.machine.surround(environment={"CLAUDECODE": "1", "IS_SANDBOX": "1"})

    answer = cli("daemon", "verify", "--scan", "--json").json

    assert answer["container"]["is_container"]
    assert not answer["container"]["has_hard_evidence"]
    assert answer["enforcement"]["mode"] == "host"
    assert [one["would_end"] for one in answer["processes"]] == [False]


def test_config_in_a_container_is_active(cli: Cli) -> None:
    cli.machine.surround(has_containerenv=True)

    shown = cli("daemon", "config")
    assert not (cli.project / "latchboard.toml").exists()
    written = cli("daemon", "config", "--write")

    assert f"  {OPTION} = true\n" in shown.out
    assert "latchboard daemon config --write" in shown.out
    assert "active, for this is a container" in written.out
    assert tomllib.loads((cli.project / "latchboard.toml").read_text()) == {OPTION: True}
    assert cli("daemon", "config", "--write", "--json").json["is_written"] is False


def test_config_on_a_host_is_a_comment_with_its_explanation(cli: Cli) -> None:
    file = cli.project / "latchboard.toml"
    file.write_text("lease_ttl_s = 7200\n")
    file.chmod(0o640)

    answer = cli("daemon", "config", "--write", "--json").json

    assert answer["is_written"]
    assert tomllib.loads(file.read_text()) == {"lease_ttl_s": 7200}
    assert f"# {OPTION} = true\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in cli.project.glob("latchboard.toml*")] == ["latchboard.toml"]
    assert "as it should be" in cli("daemon", "config").out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("latchboard.toml", f"{OPTION} = false\n"),
        ("latchboard.toml", f'"{OPTION}" = true # mine\n'),
        ("pyproject.toml", f"[tool.latchboard]\n{OPTION} = false\n"),
    ],
)
def test_users_word_stays(cli: Cli, name: str, text: str) -> None:
    cli.machine.surround(has_dockerenv=True)
    (cli.project / name).write_text(text)

    answer = cli("daemon", "config", "--write")

    assert "is your word, and stays" in answer.out
    assert (cli.project / name).read_text() == text
    assert not (name == "pyproject.toml" and (cli.project / "latchboard.toml").exists())


def test_settings_file_that_is_none_is_refused_and_kept(cli: Cli) -> None:
    file = cli.project / "latchboard.toml"
    file.write_text("= no TOML\n")

    answer = cli("daemon", "config", "--write")

    assert answer.status == 2
    assert file.read_text() == "= no TOML\n"


def test_link_to_a_settings_file_stays_a_link(cli: Cli) -> None:
    target = cli.project / "src" / "shared.toml"
    target.write_text("lease_ttl_s = 7200\n")
    (cli.project / "latchboard.toml").symlink_to(target)

    cli("daemon", "config", "--write")

    assert (cli.project / "latchboard.toml").is_symlink()
    assert OPTION in target.read_text()
