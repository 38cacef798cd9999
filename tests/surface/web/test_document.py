"""The document of all addresses, and whatever it allows thrown at the application that it is of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from latchboard.compose import Latchboard
from latchboard.surface.web import openapi
from tests.conftest import examples
from tests.surface.web.harness import SCHEMA, TOKEN, WAIT_S_MAX, Served

load_all_checks()


def test_what_is_shipped_is_made_from_the_schemas() -> None:
    made = json.dumps(openapi.document(str(SCHEMA)), indent=1, ensure_ascii=False) + "\n"

    hint = "run `python -m latchboard.surface.web.openapi protocol/schema > src/latchboard/surface/web/openapi.json`"
    assert openapi.text() == made, hint


def test_the_document_names_every_address_that_the_application_has(served: Served) -> None:
    found: dict[str, set[str]] = {}
    for route in served.app.routes:
        path, methods = route.path, route.methods  # type: ignore[attr-defined]
        if path.startswith("/api/") or path == "/metrics":
            found[path] = {method.lower() for method in methods - {"HEAD"}}

    document = served.get("/api/openapi.json").json
    assert {path: set(item) for path, item in document["paths"].items()} == found


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A project on which something happens."""
    board = Latchboard(tmp_path_factory.mktemp("document"))
    board.board.update("planner", "thinking", ["src/a.py"])
    board.locks.acquire(board.locks.request("planner", ["src/a.py"], bound="agent"))
    board.mailbox.send("planner", "builder", "hello", ack="required")
    served = Served(board)
    yield served
    served.close()
    board.close()


LOADED = schemathesis.openapi.from_dict(json.loads(openapi.text()))
# A stream of events has no end; test_events.py looks at it.
OPERATIONS = [
    (path, method, mode)
    for path, item in json.loads(openapi.text())["paths"].items()
    for method, operation in item.items()
    for mode in GenerationMode
    if path != "/api/events"
    if mode is GenerationMode.POSITIVE or {"parameters", "requestBody"} & set(operation)
]
# What a schema allows may be refused all the same: there is no such message, somebody else has the lock.
EXCLUDED = [CHECKS.get_one(name) for name in ("positive_data_acceptance", "unsupported_method")]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS, ids=lambda one: str(getattr(one, "value", one)))
def test_whatever_is_asked_is_answered_as_the_document_says(
    busy: Served, path: str, method: str, mode: GenerationMode
) -> None:
    operation = LOADED[path][method]

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(examples(30), deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        response = case.call(
            base_url=f"http://127.0.0.1:{busy.port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=WAIT_S_MAX
        )
        case.validate_response(response, excluded_checks=EXCLUDED)

    ask()


def test_the_document_is_one_of_its_own_kind() -> None:
    document = json.loads(openapi.text())

    assert document["openapi"].startswith("3.1")
    assert {one for item in document["paths"].values() for one in item} == {"get", "post"}
    assert Path(openapi.FILE).stat().st_size < 256 * 1024
