"""Service units, written for a user of a scratch home: real systemd tools, a service manager that notes (K35)."""

from __future__ import annotations

import json
import os
import plistlib
import pwd
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.host import user_manager
from latchboard.rules.unit import stamped
from tests import forked
from tests.process.nursery import PATIENCE_S
from tests.process.supervising import Crew
from tests.process.working import TREE

pytestmark = pytest.mark.process
FIVE = ("planner", "builder", "tester", "refiner", "integrator")
NOTING = """#!/bin/sh
echo "$*" >> "$HOME/asked"
for one; do shift; [ "$one" = --now ] || set -- "$@" "$one"; done
case "$*" in *is-active*) exit 3;; *able*) SYSTEMD_OFFLINE=1 exec {systemctl} "$@";; esac
"""


class Home:
    """A user with a project, and what `latchboard service` says to him."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "home"
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.crew = Crew(self.folder / "my code %")
        self.units = self.folder / ".config" / "systemd" / "user"
        self.environment = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(TREE / "src"),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return forked.run(words, env=self.environment, capture_output=True, text=True, timeout=60, cwd=self.folder)

    def say(self, verb: str, *words: str, status: int = 0, root: Path | None = None) -> dict[str, Any]:
        command = [sys.executable, "-m", "latchboard", "service", verb, *words, "--json"]
        told = self.run(*command, "--root", str(root or self.crew.root))
        assert told.returncode == status, told
        found: dict[str, Any] = json.loads(told.stdout)
        name = "error" if "code" in found else f"service-{verb}"
        schema = json.loads((TREE / "protocol" / "schema" / f"{name}.json").read_text())
        jsonschema.validate(found, schema)
        return found

    def files(self) -> dict[str, bytes]:
        paths = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        paths = [path for path in paths if self.crew.root not in path.parents]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


def links(home: Home) -> set[str]:
    """What is enabled, of all projects."""
    return {path.name for path in (home.units / "default.target.wants").iterdir()}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    with closing(made.crew):
        yield made


@pytest.mark.needs_tool("systemctl", "systemd-analyze", "systemd-escape")
def test_five_units_and_the_boards_are_what_systemd_wants(home: Home) -> None:
    for role in FIVE:
        home.crew.role(role, workers=3 if role == "builder" else 1)
    before = home.files()

    planned = home.say("install", "--dry-run")
    assert {one["what"] for one in planned["files"]} == {"made"} and home.files() == before
    done = home.say("install")

    assert [one["name"] for one in done["files"]] == [one["name"] for one in planned["files"]]
    templates = sorted(path.name for path in home.units.glob("*@.service"))
    numbered = ["latchboard-builder.2@.service", "latchboard-builder.3@.service"]
    assert templates == sorted([*(f"latchboard-{role}@.service" for role in (*FIVE, "board")), *numbered])
    instance = home.run("systemd-escape", "--path", str(home.crew.board.root)).stdout.strip()
    wanted = {one["name"] for one in done["units"]}
    assert wanted == {name.replace("@", f"@{instance}") for name in templates}
    assert {path.name for path in (home.units / "default.target.wants").iterdir()} == wanted
    for name in templates:
        text = (home.units / name).read_text()
        assert str(home.folder) not in text and str(home.crew.root) not in text
        for unit in (name, name.replace("@", f"@{instance}")):
            checked = home.run("systemd-analyze", "verify", "--user", str(home.units / unit))
            assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.needs_tool("systemctl", "systemd-analyze")
def test_the_check_of_systemd_would_say_what_is_wrong(home: Home) -> None:
    """Else the test above could not fail."""
    home.units.mkdir(parents=True)
    (home.units / "x@.service").write_text("[Service]\nExecStart=/usr/bin/true\nRestrat=on-failure\n")

    checked = home.run("systemd-analyze", "verify", "--user", str(home.units / "x@.service"))

    assert "Restrat" in checked.stderr


@pytest.mark.needs_tool("systemctl")
def test_twice_is_once_and_what_was_made_goes_whole(home: Home) -> None:
    home.crew.role("builder", grace_s=600)
    home.units.mkdir(parents=True)
    (home.units / "mine.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    before = home.files()
    assert home.say("status", status=3)["files"][0]["what"] == "missing"

    home.say("install")
    after = home.files()
    again = home.say("install")

    assert home.files() == after and {one["what"] for one in again["files"]} == {"as-is"}
    assert home.say("status")["manager"] == "systemd"
    stop = next(name for name in after if name.endswith("10-stop.conf"))
    assert "builder@" in stop and b"TimeoutStopSec=620" in after[stop]
    kept = home.say("uninstall", "--dry-run")
    assert home.files() == after and len(kept["files"]) == len(after) - len(before)

    home.say("uninstall")

    assert home.files() == before
    assert [path.name for path in home.units.iterdir()] == ["mine.service"]
    assert home.say("uninstall")["files"] == []


@pytest.mark.needs_tool("systemctl")
def test_what_somebody_made_or_changed_is_left_and_told(home: Home) -> None:
    home.crew.role("builder")
    home.say("install")
    changed, foreign = home.units / "latchboard-builder@.service", home.units / "latchboard-tester@.service"
    changed.write_text(changed.read_text().replace("RestartSec=5", "RestartSec=50"))
    foreign.write_text("[Service]\nExecStart=/usr/bin/true\n")
    (home.units / "latchboard-refiner@.service").unlink()
    os.symlink("/etc/passwd", home.units / "latchboard-refiner@.service")
    home.crew.role("tester")

    told = home.say("install", status=3)
    assert {name.partition("@")[0] for name in links(home)} == {"latchboard-board", "latchboard-builder"}
    gone = home.say("uninstall", status=3)

    for answer in (told, gone):
        left = {one["name"]: one["why"] for one in answer["files"] if one["what"] == "left"}
        assert set(left) == {f"latchboard-{role}@.service" for role in ("builder", "tester", "refiner")}
        assert left["latchboard-builder@.service"] == "somebody changed it"
        assert "symbolic link" in left["latchboard-refiner@.service"]
    assert "RestartSec=50" in changed.read_text() and foreign.exists()


@pytest.mark.needs_tool("systemctl")
def test_a_unit_of_somebody_that_is_called_like_ours_goes_on(home: Home) -> None:
    """It is an instance of this project's folder as well: to end it because of its name would end what is not ours."""
    home.crew.role("builder")
    home.say("install")
    mine = next(path.name for path in (home.units / "default.target.wants").iterdir() if "builder" in path.name)
    name = mine.replace("latchboard-builder", "latchboard-backup")
    (home.units / "latchboard-backup@.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    os.symlink(home.units / "latchboard-backup@.service", home.units / "default.target.wants" / name)

    assert all(one["is_wanted"] for one in home.say("install")["units"])
    assert name in links(home)
    home.say("uninstall")

    assert [path.name for path in (home.units / "default.target.wants").iterdir()] == [name]
    assert (home.units / "latchboard-backup@.service").exists()
    assert home.say("uninstall")["files"] == []


@pytest.mark.needs_tool("systemctl")
def test_a_file_of_another_version_is_told_and_replaced(home: Home) -> None:
    home.crew.role("builder")
    home.say("install")
    path = home.units / "latchboard-builder@.service"
    now = path.read_bytes()
    path.write_bytes(stamped("[Unit]\nDescription=an older one\n"))

    told = {one["name"]: one["what"] for one in home.say("status", status=3)["files"]}

    assert told.pop(path.name) == "outdated" and set(told.values()) == {"as-is"}
    done = {one["name"]: one["what"] for one in home.say("install")["files"]}
    assert done[path.name] == "replaced" and path.read_bytes() == now


@pytest.mark.needs_tool("systemctl")
def test_units_lie_where_the_manager_looks(home: Home) -> None:
    """A configuration folder that is relative counts for nobody; one behind a link is that behind the link."""
    home.crew.role("builder")
    (home.folder / "dotfiles").mkdir()
    os.symlink(home.folder / "dotfiles", home.folder / ".config")
    home.environment["XDG_CONFIG_HOME"] = "relative"

    home.say("install")

    assert (home.folder / "dotfiles" / "systemd" / "user" / "latchboard-builder@.service").exists()
    assert not (home.folder / "relative").exists()
    home.say("uninstall")
    assert not list(home.folder.glob("dotfiles/**/*.service"))
    assert (home.folder / ".config").is_symlink()


@pytest.mark.parametrize("home_folder", [None, "", "relative"])
def test_who_has_no_home_has_the_one_on_file(home_folder: str | None) -> None:
    environ = {} if home_folder is None else {"HOME": home_folder}

    assert user_manager.home_of(environ) == pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")
    assert user_manager.Systemd(environ).folder == f"{user_manager.home_of({})}/.config/systemd/user"


@pytest.mark.needs_tool("systemctl")
def test_templates_stay_as_long_as_another_project_uses_them(home: Home, tmp_path: Path) -> None:
    home.crew.role("builder")
    with closing(Crew(tmp_path / "other")) as other:
        other.role("builder")
        home.say("install")
        both = home.say("install", root=other.root)
        assert {one["what"] for one in both["files"]} == {"as-is"}

        home.say("uninstall")
        assert (home.units / "latchboard-builder@.service").exists()
        assert home.say("status", root=other.root)["units"][1]["is_enabled"]

        home.say("uninstall", root=other.root)
        assert not home.units.exists() or not list(home.units.iterdir())


@pytest.mark.needs_tool("systemctl")
def test_units_that_are_not_wanted_any_more_are_told_and_go(home: Home, tmp_path: Path) -> None:
    """Fewer workers, a role that is gone, and a shorter drain; what another project uses stays, and is not ended."""
    home.crew.role("builder", workers=3, grace_s=600)
    home.crew.role("deployer")
    home.crew.role("tester")
    with closing(Crew(tmp_path / "other")) as other:
        other.role("builder", workers=2)
        home.say("install")
        home.say("install", root=other.root)
        before = links(home)
        home.crew.roles.clear()
        home.crew.role("builder", workers=1)

        told = home.say("status", status=3)
        assert home.say("install", "--dry-run")["units"][2:] == [one for one in told["units"] if not one["is_wanted"]]
        only = home.say("install", "builder")
        assert {one["what"] for one in home.say("status", status=3)["files"]} == {"as-is", "surplus"}
        home.say("install")

        names = {f"{one['role']} {one['number']}" for one in told["units"] if not one["is_wanted"]}
        assert names == {"builder 2", "builder 3", "deployer 1", "tester 1"}
        assert [one["role"] for one in only["units"] if not one["is_wanted"]] == ["builder", "builder"]
        surplus = {one["name"] for one in told["files"] if one["what"] == "surplus"}
        assert {name.partition("@")[0] for name in surplus} == {
            *("latchboard-builder", "latchboard-builder.2", "latchboard-builder.3", "latchboard-deployer")
        }
        assert not any((home.units / name).exists() for name in surplus)
        assert (home.units / "latchboard-builder.2@.service").exists(), "another project's"
        assert (home.units / "latchboard-tester@.service").exists(), "one of the five"
        assert before - links(home) == {one["name"] for one in told["units"] if not one["is_wanted"]}
        assert home.say("status")["units"] == [one for one in told["units"] if one["is_wanted"]]
        assert {one["what"] for one in home.say("status", root=other.root)["files"]} == {"as-is"}


@pytest.mark.needs_tool("systemctl")
def test_who_installs_one_role_leaves_the_others_and_a_unit_alone_may_be_too_much(home: Home) -> None:
    home.crew.role("builder")
    home.crew.role("tester", grace_s=600)
    home.crew.role("planner")
    home.say("install")
    before = home.files(), links(home)
    del home.crew.roles["planner"]
    home.crew.role("builder")

    home.say("install", "builder")
    told = home.say("status", status=3)

    assert (home.files(), links(home)) == before
    assert {one["what"] for one in told["files"]} == {"as-is"}
    assert [one["role"] for one in told["units"] if not one["is_wanted"]] == ["planner"]


def test_agents_of_launchd_that_are_not_wanted_any_more_go(home: Home) -> None:
    home.crew.role("builder", workers=3)
    home.say("install", "--manager", "launchd")
    home.crew.role("builder", workers=0)

    told = home.say("status", "--manager", "launchd", status=3)
    done = home.say("install", "--manager", "launchd")

    assert [one["what"] for one in told["files"]] == ["as-is", "surplus", "surplus", "surplus"]
    assert [one["what"] for one in done["files"]] == ["as-is", "removed", "removed", "removed"]
    assert len(list((home.folder / "Library" / "LaunchAgents").iterdir())) == 1


@pytest.mark.needs_tool("systemctl")
def test_where_the_program_lies_elsewhere_no_more_nothing_says_so(home: Home) -> None:
    """The drop-in would have the units run the one of before."""
    home.crew.role("builder")
    home.say("install")
    drop_in = home.units / "latchboard-builder@.service.d" / "10-path.conf"
    assert drop_in.exists(), "these tests run from a place where no unit looks"
    (home.folder / ".local" / "bin").mkdir(parents=True)
    script = re.search(r"PATH=([^:]+)", drop_in.read_text())
    assert script is not None
    os.symlink(f"{script[1]}/latchboard", home.folder / ".local" / "bin" / "latchboard")

    assert "surplus" in {one["what"] for one in home.say("status", status=3)["files"]}
    home.say("install")

    assert not drop_in.parent.exists() and home.say("status")["files"]


@pytest.mark.needs_tool("systemctl")
def test_who_uninstalls_needs_no_configuration(home: Home) -> None:
    home.crew.role("builder", workers=2)
    before = home.files()
    home.say("install")
    (home.crew.root / "latchboard.toml").write_text("[")

    home.say("uninstall")

    assert home.files() == before
    assert home.say("install", status=2)["code"] == "usage"


@pytest.mark.needs_tool("systemctl")
def test_a_manager_that_runs_is_asked_to_read_and_to_start(home: Home, tmp_path: Path) -> None:
    """The manager is a program that notes what it is asked for, and has the real one make and remove its links."""
    home.crew.role("builder")
    real = home.run("sh", "-c", "command -v systemctl").stdout.strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").write_text(NOTING.format(systemctl=real))
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    home.environment["PATH"] = f"{tmp_path / 'bin'}:{home.environment['PATH']}"

    home.say("install", "--now")
    home.say("uninstall")

    asked = [line.removeprefix("--user ") for line in (home.folder / "asked").read_text().splitlines()]
    assert asked.count("daemon-reload") == 2
    acts = [" ".join(word for word in line.split() if "@" not in word) for line in asked if "able" in line]
    assert acts == ["enable --now", "disable --now"]


def test_agents_of_launchd_are_property_lists(home: Home) -> None:
    home.crew.role("builder", workers=2)
    before = home.files()

    done = home.say("install", "--manager", "launchd")

    folder = home.folder / "Library" / "LaunchAgents"
    assert {one["name"] for one in done["files"]} == {path.name for path in folder.iterdir()}
    assert len(done["files"]) == 3, "the board's, and two of the builder's"
    for path in folder.iterdir():
        found = plistlib.loads(path.read_bytes())
        assert found["Label"] == path.name.removesuffix(".plist")
        assert str(home.folder) not in found["ProgramArguments"][2]
    assert {one["what"] for one in home.say("install", "--manager", "launchd")["files"]} == {"as-is"}
    home.say("uninstall", "--manager", "launchd")
    assert home.files() == before


def test_a_role_that_is_called_like_the_daemons_unit_has_none(home: Home) -> None:
    """It would be told that it was installed, and the daemon run in its place."""
    home.crew.role("board")
    before = home.files()

    told = home.say("install", "--manager", "launchd", status=2)

    assert "another name" in told["hint"]
    assert home.files() == before
    assert home.say("uninstall", "--manager", "launchd")["files"] == []


def test_a_role_without_a_command_is_refused_and_nothing_is_written(home: Home) -> None:
    home.crew.role("builder")
    before = home.files()
    command = [sys.executable, "-m", "latchboard", "service", "install", "tester", "--manager", "systemd"]

    told = home.run(*command, "--root", str(home.crew.root))

    assert told.returncode == 2 and "no command for the role tester" in told.stderr
    assert home.files() == before


@pytest.mark.parametrize("words", [("serve",), ("supervise",)])
def test_whoever_runs_under_a_manager_says_that_it_is_ready_and_goes_on_saying_that_it_lives(
    home: Home, words: tuple[str, ...]
) -> None:
    home.crew.role("builder")
    home.crew.registry.mkdir(parents=True)
    wanted = {"schema_version": 1, "revision": 1, "roles": {"builder": {"count": 1, "round": 0, "asked": 1}}}
    (home.crew.registry / "agents.wanted").write_text(json.dumps(wanted))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE_S)
        address = str(home.runtime / "notify")
        manager.bind(address)
        command = [sys.executable, "-m", "latchboard", *words, "--root", str(home.crew.root)]
        environment = {**home.environment, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            said = [manager.recv(4096).decode().splitlines()[0] for _ in range(5)]
            running.terminate()
            while "STOPPING=1" not in said:
                said.append(manager.recv(4096).decode())
            assert running.wait(PATIENCE_S) == 0
        finally:
            running.kill()
            running.wait()

    assert said[0] == "READY=1" and set(said[1:5]) == {"WATCHDOG=1"}


@pytest.mark.needs_tool("systemctl")
@pytest.mark.parametrize("role", ["builder", "board"])
def test_the_command_of_a_unit_becomes_ready_and_ends_well_with_nothing_but_what_the_unit_gives_it(
    home: Home, role: str
) -> None:
    home.crew.role("builder")
    home.say("install")
    lines = [path.read_text() for path in sorted(home.units.glob(f"latchboard-{role}@.service*/*"))]
    text = "\n".join([(home.units / f"latchboard-{role}@.service").read_text(), *lines])
    text = text.replace("%f", str(home.crew.board.root)).replace("%h", str(home.folder)).replace("%%", "%")
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    path = said["Environment"].strip('"').removeprefix("PATH=")
    words = said["ExecStart"].removeprefix(":").replace(str(home.crew.board.root), "ROOT").split()
    command = [str(home.crew.board.root) if word == "ROOT" else word for word in words]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE_S)
        address = str(home.runtime / "notify")
        manager.bind(address)
        # The sources under test: an installed program finds its own.
        environment = {
            "PATH": path,
            "NOTIFY_SOCKET": address,
            "PYTHONPATH": str(TREE / "src"),
            "HOME": str(home.folder),
        }
        running = subprocess.Popen(
            command, env=environment, cwd=said["WorkingDirectory"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            heard = manager.recv(4096).decode()
            running.terminate()
            assert running.wait(float(said["TimeoutStopSec"])) == 0
        finally:
            running.kill()
            running.communicate()

    assert heard.startswith("READY=1")
