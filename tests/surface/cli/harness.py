"""What tests of the command line share: a project, a clock and a machine of their own, and answers held to the schema.

Each call is one process of the machine, which is gone when the call returns: as with the real command line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
from click.testing import CliRunner
from referencing import Registry, Resource

from latchboard.compose import Latchboard
from latchboard.rules.client import CLIENTS
from latchboard.settings import Settings
from latchboard.surface.cli import catalogue, dispatch, grammar
from latchboard.testing import FakeHost, ManualClock

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "protocol" / "schema"

_TOKEN = re.compile(r"\b\d{16}\b")
_REQUEST = re.compile(r"\b[ap]?[0-9a-f]{8,12}\.[0-9a-z.-]+")
_MESSAGE = re.compile(r"\b\d{17}-[0-9a-z]+-\d+\b")


class Outcome:
    """What one call gave: exit status, standard output, standard error."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"[{self.status}]\n{self.out}--\n{self.err}"


class Cli:
    """The command line in one project; `cli("check", "src/a.py")` is an `Outcome`.

    Attributes:
        project: Its folder, and the current one.
        clock, machine: Time and processes of all calls.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.clock = ManualClock()
        self.machine = FakeHost()
        self.settings = Settings()
        # A home without clients, and a PATH without their programs: what is installed here is not found by a test.
        self.environment: dict[str, str | None] = {"AGENT_ID": None, "NO_COLOR": None, "COLUMNS": "80"}
        self.environment |= {"HOME": str(project.parent / "home"), "PATH": path_without_clients()}

    def __call__(
        self,
        *words: str,
        stdin: str | bytes = "",
        compose: Callable[[str], Latchboard] | None = None,
        **environment: str,
    ) -> Outcome:
        process = self.machine.spawn()
        host = self.machine.as_process(process)

        def composed(root: str) -> Latchboard:
            return Latchboard(root, settings=self.settings, clock=self.clock, host=host, publishes=False)

        runner = CliRunner(env={**self.environment, **environment})
        with runner.isolation(input=stdin) as (out, err, _):
            try:
                status = dispatch.run(list(words), compose=compose or composed)
            finally:
                self.machine.kill(process)
            outcome = Outcome(status, out.getvalue().decode(), err.getvalue().decode())
        hold_to_schema(words, outcome)
        return outcome

    def board(self) -> Latchboard:
        """The services, as another process of the same machine has them."""
        host = self.machine.as_process(self.machine.spawn())
        return Latchboard(self.project, settings=self.settings, clock=self.clock, host=host, publishes=False)

    def shown(self, text: str) -> str:
        """`text` without what is another one in every run: tokens, ids, the folder."""
        for pattern, word in ((_MESSAGE, "<message>"), (_REQUEST, "<request>"), (_TOKEN, "<token>")):
            text = pattern.sub(word, text)
        return text.replace(str(self.project), "<project>").replace(os.path.realpath(self.project), "<project>")

    def says(self, *words: str, **environment: str) -> str:
        """What people see: exit status where it is not 0, standard output, standard error."""
        outcome = self(*words, **environment)
        status = f"[{outcome.status}]\n" if outcome.status else ""
        return self.shown(status + outcome.out + outcome.err)


def path_without_clients() -> str:
    """PATH less the folders that have a program of a client."""
    programs = [program for client in CLIENTS for program in client.programs]
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(one for one in folders if not any(shutil.which(name, path=one) for name in programs))


def hold_to_schema(words: tuple[str, ...], outcome: Outcome) -> None:
    """Every line on standard output of a call with --json is what protocol/schema says, to the last field."""
    ours = words[: words.index("--") if "--" in words else len(words)]
    if "--json" not in ours or "--help" in ours or not asks_for_json(ours):
        return
    for line in outcome.out.splitlines():
        answer = json.loads(line)
        name = "error" if "code" in answer else schema_of(words)
        validate(name, answer)
        if "code" in answer:
            assert outcome.status not in (0, 3), outcome


def asks_for_json(words: tuple[str, ...]) -> bool:
    """Whether --json is said, and is not the value of another option (`--agent --json`)."""
    name, own = catalogue.split(list(words))
    values = grammar.read(catalogue.load(name), own) if name else None
    return values is None or bool(values["as_json"])


def schema_of(words: tuple[str, ...]) -> str:
    name, own = catalogue.split(list(words))
    options = {"inbox": "--ack", "doctor": "--hooks"}  # with these, another answer
    if options.get(name) in own:
        name += f" {options[name].removeprefix('--')}"
    return name.replace(" ", "-")


def validate(name: str, answer: object) -> None:
    validator = jsonschema.Draft202012Validator(_STRICT[name], registry=_REGISTRY)
    errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(answer)]
    assert not errors, f"{name}.json: {errors}\n{answer}"


def _strict(schema: Any) -> Any:
    """The schema, with no room for a field that it does not name: readers must allow those, our own tests do not."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


_SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMA.glob("*.json")}
_OURS = {"error", "hold", "inbox-ack", *(name.replace(" ", "-") for name in catalogue.VERBS)}
_STRICT = {name: _strict(schema) if name in _OURS else schema for name, schema in _SCHEMAS.items()}
_REGISTRY: Registry[Any] = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in _STRICT.items()]
)
