from __future__ import annotations

import tomllib

import pytest

from latchboard.rules import worker_role
from tests.surface.cli.harness import Cli


def write(cli: Cli, text: str) -> None:
    (cli.project / "latchboard.toml").write_text(text, encoding="utf-8")


def test_templates_are_shown_as_they_would_be_run(cli: Cli) -> None:
    answer = cli("worker", "--templates", "--role", "tester", "--json").json

    assert list(answer["templates"]) == list(worker_role.TEMPLATES)
    for name, command in answer["templates"].items():
        assert command == worker_role.Role("tester", {"template": name}).command


def test_templates_can_be_pasted_into_the_configuration(cli: Cli) -> None:
    text = cli("worker", "--templates").out

    for part in text.split("# is the same as\n")[1:]:
        table = tomllib.loads(part.split("\n\n")[0])["roles"]["builder"]
        assert worker_role.Role("builder", table).command[0] in worker_role.TEMPLATES


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--role is missing"),
        (("--role", "Builder"), "a role is"),
        (("--role", "tester"), "no command for the role tester"),
        (("--role", "builder", "--agent", "b1"), "goes by its own name"),
        (("--role", "builder", "--number", "1001"), "--number is from 1 to 1000"),
        (("--role", "builder", "--number", "0"), "0"),
        (("--role", "builder", "--interval", "0"), "0"),
        (("--templates", "--role", "B"), "a role is"),
    ],
)
def test_what_cannot_be_is_refused(cli: Cli, words: tuple[str, ...], says: str) -> None:
    write(cli, '[roles.builder]\ncommand = ["true"]\n')

    outcome = cli("worker", *words)

    assert outcome.status == 2
    assert says in outcome.err
    assert not (cli.project / "data" / ".agent_pids").exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('command = "make"', "command is a list"),
        ('comand = ["make"]', "there is no key 'comand'"),
        ('command = ["true"]\nfolder = "no"', "there is no folder"),
        ('command = ["true"]\nexit_codes = { 1 = "testing" }', "cannot mean 'testing'"),
    ],
)
def test_a_wrong_configuration_starts_no_worker(cli: Cli, table: str, says: str) -> None:
    write(cli, f"[roles.builder]\n{table}\n")

    outcome = cli("worker", "--role", "builder", "--once")

    assert outcome.status == 2
    assert says in outcome.err


def test_roles_may_stand_in_the_project_file(cli: Cli) -> None:
    (cli.project / "pyproject.toml").write_text('[tool.latchboard.roles.builder]\ncommand = ["no-such-program"]\n')

    outcome = cli("worker", "--role", "builder", "--json")

    assert (outcome.status, outcome.json["code"]) == (127, "command-not-found")
