"""The files of a user's service manager: names, content, and whose they are."""

from __future__ import annotations

import plistlib
import shlex
from configparser import ConfigParser
from typing import Any

import pytest

from latchboard.rules import unit as rules
from latchboard.rules import worker_role

HOME, ROOT = "/srv/home/ada", "/srv/home/ada/code/it's 100% ours"


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/", "-"),
        ("/srv/p", "srv-p"),
        ("/srv/My Project/a-b/é.x", "srv-My\\x20Project-a\\x2db-\\xc3\\xa9.x"),
        ("/.hidden/.x", "\\x2ehidden-.x"),
        ("/a_b:c.d", "a_b:c.d"),
        ("/a%b\\c", "a\\x25b\\x5cc"),
    ],
)
def test_a_root_is_escaped_as_systemd_does(path: str, escaped: str) -> None:
    assert rules.escape(path) == escaped


def test_names_of_templates_and_instances() -> None:
    assert rules.template_name("builder") == "latchboard-builder@.service"
    assert rules.template_name("builder", 2) == "latchboard-builder.2@.service"
    assert rules.instance_name("builder", 2, "/srv/p") == "latchboard-builder.2@srv-p.service"


@pytest.mark.parametrize(
    ("unit", "expect"),
    [
        ("latchboard-builder@srv-p.service", ("builder", 1)),
        ("latchboard-builder-2.22@srv-p.q.service", ("builder-2", 22)),
        (f"{rules.label('builder', 3, ROOT)}.plist", ("builder", 3)),
        (f"{rules.label('builder', 1, ROOT)}.plist", ("builder", 1)),
        (f"{rules.label(rules.BOARD, 1, ROOT)}.plist", None),
        ("latchboard-board@srv-p.service", None),
        ("latchboard-builder.2.3@srv-p.service", None),
        ("latchboard-builder.x@srv-p.service", None),
        ("latchboard-builder.\u0661@srv-p.service", None),
        ("latchboard-Builder@srv-p.service", None),
        ("latchboard.plist", None),
        ("latchboard.0f0f0f0f.plist", None),
    ],
)
def test_a_unit_says_role_and_number(unit: str, expect: tuple[str, int] | None) -> None:
    assert rules.worker_of(unit) == expect


def test_no_unit_is_that_of_two_roles() -> None:
    """Templates are shared by all projects: one would be replaced by another project's of the same name."""
    places = [(role, number) for role in ("builder", "builder-2", "builder-2-2", "b") for number in (1, 2, 22)]

    assert len({rules.template_name(*place) for place in places}) == len(places)
    assert len({rules.label(*place, "/srv/p") for place in places}) == len(places)


def parsed(text: str) -> ConfigParser:
    found = ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(text)
    return found


@pytest.mark.parametrize("role", ["planner", "builder", "tester", "refiner", "integrator", rules.BOARD])
def test_a_template_names_no_machine_and_gives_a_drain_its_time(role: str) -> None:
    service = parsed(rules.template(role))["Service"]

    assert service["Restart"] == "on-failure" and service["RestartPreventExitStatus"] == "2 10"
    assert service["Type"] == "notify" and float(service["WatchdogSec"]) > 0
    assert float(service["TimeoutStopSec"]) > worker_role.GRACE_S + worker_role.STOP_MARGIN_S
    assert service["NoNewPrivileges"] == "yes" and "User" not in service
    assert service["WorkingDirectory"] == "%f" and "--root %f" in service["ExecStart"]
    words = {word for line in service.values() for word in line.replace('"', "").replace("PATH=", "").split(":")}
    absolute = {word.split()[0] for word in words if word.startswith("/")}
    assert absolute <= {"/usr/bin/env", "/usr/local/bin", "/usr/bin", "/bin"}
    assert ("RestrictNamespaces" in service) == (role == rules.BOARD)


def test_drop_ins_say_one_thing_each() -> None:
    path = parsed(rules.path_drop_in('/srv/opt/100% "x"'))["Service"]["Environment"]
    assert path.startswith('"PATH=/srv/opt/100%% \\"x\\":%h/.local/bin:')
    assert parsed(rules.stop_drop_in(610.0))["Service"]["TimeoutStopSec"] == "620"
    assert [rules.needs_stop_drop_in(s) for s in (20.0, 20.1)] == [False, True]


@pytest.mark.parametrize("role", ["builder", rules.BOARD])
def test_an_agent_of_launchd_has_documented_keys_and_is_relative_to_the_home(role: str) -> None:
    table = rules.agent(role, 1, ROOT, home=HOME, stop_s=610.0)

    assert plistlib.loads(plistlib.dumps(table)) == table
    assert set(table) == {
        "Label",
        "ProgramArguments",
        "RunAtLoad",
        "KeepAlive",
        "ThrottleInterval",
        "ExitTimeOut",
        "ProcessType",
    }
    assert table["ExitTimeOut"] == 620 and table["KeepAlive"] == {"SuccessfulExit": False}
    assert table["Label"] == rules.label(role, 1, ROOT)
    shell, option, script = table["ProgramArguments"]
    assert (shell, option) == ("/bin/sh", "-c") and HOME not in script
    words = shlex.split(script.replace('"$HOME"', HOME))
    verb = ["serve", "--root", ROOT] if role == rules.BOARD else ["worker", "--root", ROOT, "--role", role]
    assert words[1:] == ["exec", "latchboard", *verb]


@pytest.mark.parametrize(
    ("root", "home", "word"),
    [
        ("/srv/p", "/home-of-x", "'/srv/p'"),
        ("/srv/x", "/srv/x", '"$HOME"'),
        ("/srv/xy", "/srv/x", "'/srv/xy'"),
        ("/srv/x/y", "/srv/x/", "\"$HOME\"'/y'"),
        ("/srv/p", "", "'/srv/p'"),
    ],
)
def test_a_path_is_one_word_for_a_shell(root: str, home: str, word: str) -> None:
    table = rules.agent("builder", 1, root, home=home, stop_s=0.0, folder="/srv/opt/x")

    assert f"--root {word} --role" in table["ProgramArguments"][2]
    assert "PATH='/srv/opt/x':" in table["ProgramArguments"][2]


def test_labels_tell_projects_and_workers_apart() -> None:
    one = rules.label("builder", 1, "/srv/p")

    assert one.startswith("latchboard.builder.") and len(one) == len("latchboard.builder.") + 8
    assert len({one, rules.label("builder", 2, "/srv/p"), rules.label("builder", 1, "/srv/q")}) == 3
    assert rules.label("builder", 2, "/srv/p").startswith("latchboard.builder.2.")


@pytest.mark.parametrize("is_xml", [False, True])
def test_a_file_of_ours_is_known_until_somebody_changes_it(is_xml: bool) -> None:
    data = rules.stamped("[Unit]\nDescription=é\n", is_xml=is_xml)
    changed: list[Any] = [data.replace(b"Unit", b"unit"), data.replace(b"sha256 ", b"sha256 0")]

    assert rules.mark_of(data) == "ours"
    assert [rules.mark_of(one) for one in changed] == ["changed", "changed"]
    assert rules.mark_of(data + b"# more\n") == "changed"


@pytest.mark.parametrize("data", [b"", b"[Unit]\n", b"# made by somebody\n[Unit]\n"])
def test_what_says_nothing_is_somebody_elses(data: bytes) -> None:
    assert rules.mark_of(data) == "foreign"


def test_a_mark_without_an_end_is_a_changed_file() -> None:
    assert rules.mark_of(rules.stamped("<x/>\n", is_xml=True)[:-5]) == "changed"
